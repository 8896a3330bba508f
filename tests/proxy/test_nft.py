"""What is asked of ``nft`` and ``conntrack``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tiphys.proxy import nft


async def test_flows_are_forgotten_in_the_family_of_their_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def run(argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        asked.append(" ".join(argv))
        return 0, "", "conntrack v1.4.7 (conntrack-tools): 2 flow entries have been deleted."

    monkeypatch.setattr(nft, "run_tool", run)
    flows = [("10.64.0.20", "10.128.1.5", 0), ("fd00:64::20", "", 0), ("", "fd00:1::5", 30080)]
    assert await nft.forget_flows(flows) == 6
    assert asked == [
        "conntrack -D -f ipv4 -p udp --orig-dst 10.64.0.20 --dst-nat 10.128.1.5",
        "conntrack -D -f ipv6 -p udp --orig-dst fd00:64::20",
        "conntrack -D -f ipv6 -p udp --dst-nat fd00:1::5 --orig-port-dst 30080",
    ]


@pytest.mark.parametrize(("there", "families"), [(True, ("IPv4", "IPv6")), (False, ("IPv4",))])
def test_the_sixth_version_is_served_where_the_kernel_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, families: tuple[str, ...]
) -> None:
    listed = tmp_path / "if_inet6"
    if there:
        listed.touch()
    monkeypatch.setattr(nft, "_IF_INET6", listed)
    assert nft.families() == families
