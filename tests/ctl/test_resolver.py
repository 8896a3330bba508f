"""How a machine resolves names, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl.resolver import Resolver, loopbacks, read

OWN = "nameserver 10.0.0.1\nsearch example.com\n"
STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\n"
CASES = {
    "a server that all can reach": ({"a": "nameserver 10.9.8.7\n", "b": OWN}, ("10.9.8.7",), (), "a"),
    "systemd-resolved, and what it asks": ({"a": STUB, "b": OWN}, ("10.0.0.1",), ("127.0.0.53",), "b"),
    "one of each": ({"a": f"nameserver 127.0.0.1\n{OWN}", "b": STUB}, ("10.0.0.1",), ("127.0.0.1",), "a"),
    "no first file": ({"b": OWN}, ("10.0.0.1",), (), "b"),
    "nobody to reach": ({"a": STUB}, (), ("127.0.0.53",), "a"),
    "no file": ({}, (), (), "a"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "servers", "stubs", "path"), CASES.values(), ids=CASES)
def test_read(
    tmp_path: Path, files: dict[str, str], servers: tuple[str, ...], stubs: tuple[str, ...], path: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read((tmp_path / "a", tmp_path / "b")) == Resolver(servers, stubs, tmp_path / path)


def test_loopbacks_once_and_of_ipv4_only() -> None:
    lines = ["# 127.0.0.1", "nameserver ::1", "nameserver", "nameserver x", *2 * ["nameserver 127.0.0.53"]]
    assert loopbacks("\n".join(lines)) == ("127.0.0.53",)
