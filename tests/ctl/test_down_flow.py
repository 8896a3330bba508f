"""``down`` over half a cluster, over none, and where something cannot be removed."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from tiphys.ctl import down, network, state
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.progress import Progress

MOUNTED = "30 22 0:30 / {} rw - tmpfs tmpfs rw\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clusters on a machine that has neither control groups nor networks of them."""
    home = tmp_path / "home"
    monkeypatch.setenv("TIPHYS_HOME", str(home))
    for name, folder in (("_CGROUPS", "cgroups"), ("_RUN", "run"), ("_CNI_RESULTS", "results")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(down, name, tmp_path / folder)
    (home / "dev").mkdir(parents=True)
    return home


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[Cluster]:
    gone: list[Cluster] = []
    monkeypatch.setattr(network, "destroy", gone.append)
    return gone


def run(name: str = "dev", *, keep_data: bool = False) -> str:
    said = io.StringIO()
    down.down(name, Progress(said), keep_data=keep_data)
    return said.getvalue()


def test_there_is_none(home: Path) -> None:
    assert run("other") == "no cluster 'other'; nothing to do\n"
    assert home.is_dir()


@pytest.mark.parametrize("keep", [False, True], ids=["all", "but its data"])
def test_everything_goes(home: Path, destroyed: list[Cluster], keep: bool) -> None:
    cluster = Cluster("dev", 3, home / "dev", 2)
    state.save(cluster)
    (home / "dev" / "store.db").write_text("precious")
    with subprocess.Popen(["sleep", "66"]) as process:
        entry = {"pid": process.pid, "started": state.start_time(process.pid)}
        state.write_json(home / "dev" / "processes.json", {"components": {"containerd-node-1": entry}})
        said = run(keep_data=keep)
        assert process.wait(30) == -15
    assert destroyed == [cluster]
    assert ("removing data" in said) is not keep
    assert [path.name for path in home.iterdir()] == (["dev"] if keep else [])
    if keep:
        assert sorted(path.name for path in (home / "dev").iterdir()) == ["cluster.json", "store.db"]
        assert state.load("dev") == cluster


def test_a_folder_that_never_became_a_cluster_is_removed(home: Path, destroyed: list[Cluster]) -> None:
    (home / "dev" / "pki").mkdir()
    run()
    assert (destroyed, list(home.iterdir())) == ([], [])


def test_a_damaged_record_is_not_taken_for_none(home: Path, destroyed: list[Cluster]) -> None:
    (home / "dev" / "cluster.json").write_text("{")
    with pytest.raises(CtlError, match="is damaged"):
        run()
    assert (destroyed, (home / "dev").is_dir()) == ([], True)


def test_it_waits_for_no_other(home: Path) -> None:
    with state.lock(home / "dev"), pytest.raises(CtlError, match="wait for it"):
        run()


def mountinfo(monkeypatch: pytest.MonkeyPatch, *turns: str) -> list[list[str]]:
    """Let the machine show these mounts, one text a look; return the commands that are run."""
    shown, commands, read = list(turns), list[list[str]](), Path.read_text

    def look(path: Path, *rest: str, **more: str) -> str:
        if str(path) != "/proc/self/mountinfo":
            return read(path, *rest, **more)
        return shown.pop(0) if len(shown) > 1 else shown[0]

    def command(argv: list[str], **_rest: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(argv)
        return subprocess.CompletedProcess(argv, 0 if "-l" in argv else 32)

    monkeypatch.setattr(Path, "read_text", look)
    monkeypatch.setattr(down.subprocess, "run", command)
    return commands


def test_what_is_busy_is_unmounted_lazily(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = f"{home}/dev/nodes"
    commands = mountinfo(monkeypatch, MOUNTED.format(point), "")
    down._unmount(home / "dev")
    assert commands == [["umount", point], ["umount", "-l", point]]


def test_what_stays_mounted_is_said_and_its_data_left_alone(
    home: Path, destroyed: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(Cluster("dev", 3, home / "dev"))
    point = f"{home}/dev/nodes"
    commands = mountinfo(monkeypatch, MOUNTED.format(point))
    with pytest.raises(CtlError, match=f"cannot unmount {point}"):
        run()
    assert len(commands) == 2 * down._ROUNDS
    with pytest.raises(CtlError, match="its data is left alone"):
        down._remove(home / "dev")
    assert state.load("dev") is not None


def test_what_runtimes_keep_elsewhere_is_forgotten(home: Path, tmp_path: Path) -> None:
    node = Cluster("dev", 3, home / "dev").node(1)
    bundle = node.folder / "containerd-state" / "io.containerd.runtime.v2.task" / "k8s.io" / "abc"
    shim, foreign = tmp_path / "run" / "s" / "1", tmp_path / "elsewhere"
    kept = tmp_path / "run" / "runc" / "k8s.io" / "other"
    for folder in (bundle, shim.parent, tmp_path / "run" / "runc" / "k8s.io" / "abc", kept):
        folder.mkdir(parents=True)
    shim.touch()
    foreign.touch()
    (bundle / "address").write_text(f"unix://{shim}")
    (bundle.parent / "def").mkdir()
    (bundle.parent / "def" / "address").write_text(f"unix://{foreign}")
    results = tmp_path / "results"
    others = ("cni-loopback-other-lo", "net-abc-eth0")
    for name in (f"{node.namespace}-abc-eth0", "cni-loopback-abc-lo", *others):
        (results / name).touch()
    down._forget_containers(node)
    assert not shim.exists()
    assert foreign.exists(), "not one of containerd's sockets"
    assert [path.name for path in kept.parent.iterdir()] == ["other"]
    assert sorted(path.name for path in results.iterdir()) == sorted(others)


def test_control_groups_go_with_those_above_that_are_empty(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "cgroups"
    mine, busy, foreign = (
        root / "cpu/tiphys/t3/pod",
        root / "cpu/kubepods/pod",
        root / "system.slice/tiphys/x",
    )
    for folder in (mine, busy, foreign):
        folder.mkdir(parents=True)
    (busy / "cgroup.procs").write_text("1")
    down._remove_cgroups({mine, busy, foreign})
    assert not (root / "cpu" / "tiphys").exists()
    assert busy.is_dir(), "somebody is in it"
    assert (root / "system.slice").is_dir(), "not ours"
    assert (root / "cpu").is_dir()
