"""Flags that are added to components: their form, where they go, what is refused before a cluster is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tiphys.cmd.up import _check_flags, up
from tiphys.ctl import state
from tiphys.ctl.components import components
from tiphys.ctl.extra_config import CONFIGURABLE, by_component, spread
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.progress import Progress
from tiphys.ctl.up import UpOptions, _tell_kept

CLUSTER = Cluster("default", 0, Path("/x"), 2)


def test_options_become_flags() -> None:
    extra = spread(["kubelet.max-pods=5"], "EnvFiles=false", "api/all=true")
    assert extra == (
        *(f"{component}.feature-gates=EnvFiles=false" for component in CONFIGURABLE),
        "apiserver.runtime-config=api/all=true",
        "kubelet.max-pods=5",
    )
    assert by_component(extra)["kubelet"] == ("--feature-gates=EnvFiles=false", "--max-pods=5")
    assert spread([]) == ()


def test_they_come_last_in_the_command_line_of_every_process_of_the_component() -> None:
    plain = components(CLUSTER)
    rows = components(replace(CLUSTER, extra=("kubelet.max-pods=5", "kubelet.v=1", "scheduler.v=2")))
    added = {"kubelet": ("--max-pods=5", "--v=1"), "scheduler": ("--v=2",)}
    assert [row.argv for row in rows] == [row.argv + added.get(row.command, ()) for row in plain]


def test_what_is_said_twice_is_said_as_the_maker_wants_it() -> None:
    rows = components(replace(CLUSTER, extra=("apiserver.authorization-mode=Node,ABAC,RBAC",)))
    said = [flag for flag in rows[0].argv if flag.startswith("--authorization-mode")]
    assert said == ["--authorization-mode=Node,ABAC,RBAC"]


WITHOUT = {
    "apiserver.authorization-config=/x": ["--authorization-mode"],
    "apiserver.service-account-signing-endpoint=/x": [
        "--service-account-key-file",
        "--service-account-signing-key-file",
    ],
    "kubelet.rotate-server-certificates=true": ["--tls-cert-file", "--tls-private-key-file"],
    "kubelet.rotate-server-certificates=false": [],
}


@pytest.mark.parametrize("text", WITHOUT)
def test_what_a_component_heeds_only_without_flags_of_ours(text: str) -> None:
    command, _, flag = text.partition(".")
    plain, added = (
        {word.partition("=")[0] for row in components(cluster) if row.command == command for word in row.argv}
        for cluster in (CLUSTER, replace(CLUSTER, extra=(text,)))
    )
    assert sorted(plain - added) == WITHOUT[text]
    assert added - plain == {f"--{flag.partition('=')[0]}"}


REFUSED = [
    ("max-pods=5", "'max-pods=5' adds no flag: write component.flag=value"),
    ("kubelet.max-pods", "'kubelet.max-pods' adds no flag"),
    ("kubelet.=5", "'kubelet.=5' adds no flag"),
    ("etcd.name=x", "no component 'etcd' takes flags, only apiserver, controller-manager"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_flag(text: str, message: str) -> None:
    with pytest.raises(CtlError, match=message):
        spread([text])


@pytest.mark.parametrize("component", CONFIGURABLE)
def test_flags_of_upstream_are_taken_whether_they_have_an_effect_or_not(component: str) -> None:
    _check_flags([f"{component}.v=2", f"{component}.logging-format=json"])


def test_a_flag_that_its_component_does_not_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    told = CliRunner().invoke(up, ["--extra-config", "apiserver.audit-log-pat=/x"])
    assert told.exit_code == 1
    assert "Error: apiserver: unknown flag: --audit-log-pat" in told.output
    assert list(tmp_path.iterdir()) == []


def test_they_are_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    cluster = Cluster("dev", 5, tmp_path / "dev", extra=("kubelet.max-pods=5",))
    cluster.folder.mkdir()
    state.save(cluster)
    assert state.load("dev") == cluster


def test_a_cluster_that_exists_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    kept = replace(CLUSTER, extra=("kubelet.max-pods=5",))
    _tell_kept(kept, UpOptions("default", extra=("kubelet.max-pods=6",)), Progress())
    assert "it stays as it was made (added flags: kubelet.max-pods=5)" in capsys.readouterr().out
    _tell_kept(kept, UpOptions("default"), Progress())
    _tell_kept(kept, UpOptions("default", extra=kept.extra), Progress())
    assert capsys.readouterr().out == ""
