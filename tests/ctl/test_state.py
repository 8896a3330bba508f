"""Files, locks and process identities."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tiphys.ctl import state
from tiphys.ctl.layout import Cluster, CtlError


def test_cluster_survives_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    cluster = Cluster("dev", 5, tmp_path / "dev", 3, outbound=False)
    assert state.load("dev") is None
    cluster.folder.mkdir()
    state.save(cluster)
    assert state.load("dev") == cluster
    assert state.load_all() == ([cluster], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged (Expecting property name"),
        ("[]", "is damaged (list indices"),
        ('{"nodes": []}', "is damaged: it has no 'index'; put it back as it was"),
        ('{"index": 1, "nodes": 3, "outbound": true, "store": "sqlite"}', "is damaged (object of type 'int'"),
    ],
)
def test_a_damaged_file_is_no_absent_cluster(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for none, ``down`` would forget its processes and ``up`` would start a second set."""
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "cluster.json").write_text(text)
    with pytest.raises(CtlError, match=re.escape(said)):
        state.load("dev")
    clusters, (fault,) = state.load_all()
    assert clusters == []
    assert said in str(fault)


def test_second_lock_is_refused_at_once(tmp_path: Path) -> None:
    with state.lock(tmp_path), pytest.raises(CtlError, match="another 'tiphys up'"), state.lock(tmp_path):
        pass
    with state.lock(tmp_path):
        pass


def test_process_identity() -> None:
    own = os.getpid()
    started = state.start_time(own)
    assert started is not None
    assert state.alive(own, started)
    assert not state.alive(own, started + 1)
    assert not state.alive(0, 0)


def test_stop_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = state.start_time(child.pid)
        assert started is not None
        state.stop_process(child.pid, started + 1, grace_s=0)
        assert child.poll() is None
        state.stop_process(child.pid, started, grace_s=1)
        assert state.start_time(child.pid) is None


def test_a_suspended_process_is_woken_to_end_in_order() -> None:
    script = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGSTOP)
        state.stop_process(child.pid, state.start_time(child.pid) or 0, grace_s=20)
        assert child.wait() == 7


def test_a_process_is_found_by_its_whole_command_line() -> None:
    argv = ["sleep", "61.25"]
    with subprocess.Popen(argv) as child:
        while b"61.25" not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
            os.sched_yield()
        assert state.find(argv) == child.pid
        assert state.find(argv[:1]) == 0
        assert state.find([*argv, "1"]) == 0
        child.kill()
        while state.start_time(child.pid) is not None:
            os.sched_yield()
        assert state.find(argv) == 0
