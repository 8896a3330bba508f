"""How components find the API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.client.kubeconfig import ConfigError
from tiphys.cmd.reach import Reach


def written(folder: Path, name: str, server: str) -> str:
    path = folder / name
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
        "contexts: [{name: c, context: {cluster: k}}]\n",
        encoding="utf-8",
    )
    return str(path)


def test_the_master_flag_goes_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.conf", "http://127.0.0.1:1")
    assert Reach(path).config().server == "http://127.0.0.1:1"
    assert Reach(path, "http://127.0.0.1:2").config().server == "http://127.0.0.1:2"


def test_without_a_file_it_is_what_a_pod_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="not in a cluster"):
        Reach("").config()


async def test_questions_about_callers_may_go_elsewhere(tmp_path: Path) -> None:
    own, other = (written(tmp_path, name, f"http://127.0.0.1:{port}") for name, port in (("a", 1), ("b", 2)))
    async with Reach(own).clients("t") as (client, asking):
        assert asking is client
    async with Reach(own, asking=own).clients("t") as (client, asking):
        assert asking is client
    async with Reach(own, asking=other).clients("t") as (client, asking):
        assert asking is not client
        assert asking.transport.server == "http://127.0.0.1:2"  # type: ignore[attr-defined]
