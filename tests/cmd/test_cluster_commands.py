"""What the commands about clusters say when nothing is there or something is wrong: no root, no processes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tiphys.cmd.main import cli
from tiphys.ctl import state
from tiphys.ctl.layout import Cluster
from tiphys.ctl.progress import Progress
from tiphys.ctl.up import UpOptions, _tell_kept, count


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder near the root: containerd's socket must fit below it."""
    with tempfile.TemporaryDirectory(prefix="tiphys-") as folder:
        monkeypatch.setenv("TIPHYS_HOME", folder)
        yield Path(folder)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def make(home: Path, name: str = "default") -> Cluster:
    cluster = Cluster(name, 0, home / name, 2, outbound=False)
    cluster.folder.mkdir()
    state.save(cluster)
    return cluster


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("status", 0, "no clusters; 'tiphys up' makes one\n"),
        ("status -o json", 0, "[]\n"),
        ("status --name blue", 1, "Error: no cluster 'blue'; 'tiphys up --name blue' makes one\n"),
        ("kubeconfig", 1, "Error: no cluster 'default'; 'tiphys up' makes one\n"),
        ("images import x.tar --name b", 1, "Error: no cluster 'b'; 'tiphys up --name b' makes one\n"),
    ],
)
def test_nothing_there(home: Path, args: str, code: int, said: str) -> None:
    result = run(*args.split())
    assert (result.exit_code, result.output) == (code, said)


@pytest.mark.parametrize("args", ["status", "status --name default", "kubeconfig", "images import x"])
def test_a_damaged_cluster_is_told_and_not_passed_over(home: Path, args: str) -> None:
    make(home)
    (home / "default" / "cluster.json").write_text('{"name": "default"}')
    result = run(*args.split())
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert f"Error: {home}/default/cluster.json is damaged: it has no 'index'" in result.output


def test_status_shows_the_others_beside_a_damaged_one(home: Path) -> None:
    make(home, "blue")
    (home / "red").mkdir()
    (home / "red" / "cluster.json").write_text("")
    result = run("status")
    assert result.exit_code == 1
    assert result.stdout == "cluster blue: stopped ('tiphys up --name blue' brings it back)\n"
    assert "red/cluster.json is damaged" in result.stderr


def test_no_kubeconfig_yet(home: Path) -> None:
    make(home)
    assert f"cannot read {home}/default/kubeconfig: No such file" in run("kubeconfig").output
    assert run("kubeconfig", "--path").output == f"{home}/default/kubeconfig\n"


def test_images_of_what_is_no_archive(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = make(home)
    (home / "web.tar").write_text("no archive")
    assert run("images", "import", "/dev/null").output == "Error: /dev/null: not a file\n"
    assert run("images", "import", "/nowhere").output == "Error: /nowhere: no such file\n"
    said = run("images", "import", f"{home}/web.tar").output
    assert said == "Error: cluster 'default' is not running: no containerd on node-1, node-2\n"

    for node in cluster.nodes:
        node.folder.mkdir(parents=True)
        node.containerd_socket.touch()
    (home / "ctr").write_text("#!/bin/sh\necho 'ctr: archive/tar: invalid tar header' >&2\nexit 1\n")
    (home / "ctr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    said = run("images", "import", f"{home}/web.tar").output
    assert said == (
        f"Error: cannot import {home}/web.tar: ctr: archive/tar: invalid tar header (on node-1, node-2)\n"
    )


@pytest.mark.parametrize("command", ["up", "down"])
def test_without_root(home: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = run(command)
    assert result.exit_code == 1
    assert result.output == "Error: this needs root (namespaces, containers): run it with sudo\n"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (UpOptions("default"), ""),
        (UpOptions("default", nodes=2, store="sqlite", outbound=False), ""),
        (UpOptions("default", nodes=3), "nodes 2"),
        (UpOptions("default", nodes=3, store="etcd", outbound=True), "nodes 2, store sqlite, outbound False"),
    ],
)
def test_a_second_up_says_what_it_does_not_change(home: Path, options: UpOptions, said: str) -> None:
    out = io.StringIO()
    _tell_kept(make(home), options, Progress(out))
    line = f"  it stays as it was made ({said}): 'tiphys down' first, for another shape\n"
    assert out.getvalue() == (line if said else "")


def test_counts() -> None:
    assert [count(number, "node") for number in (1, 2)] == ["1 node", "2 nodes"]


def test_help_parts_clusters_from_components() -> None:
    lines = run("--help").output.splitlines()
    assert lines.index("Clusters on this machine:") < lines.index(
        "Components, with upstream's flags ('up' runs them all):"
    )
