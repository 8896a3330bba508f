"""What ``up`` waits for and when it gives up; what it says of a cluster that runs; what it takes over."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import ServiceUnavailable, StatusError
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NODES
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.ctl import preflight, state, supervisor, up
from tiphys.ctl.layout import Cluster, CtlError
from tiphys.ctl.progress import Progress
from tiphys.ctl.up import Hooks, UpOptions, _Waiter

HOOKS = Hooks(lambda *_: 0, lambda _: None)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster("default", 63, tmp_path, 2)


class Turns:
    """What each look finds: is the supervisor alive, and what is lacking. A second goes by between two."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, alive: list[bool], lacking: list[str]) -> None:
        self.clock = FakeClock()
        self.looks = 0
        self._alive, self._lacking = alive, lacking
        monkeypatch.setattr(supervisor, "is_alive", lambda _: alive[min(self.looks, len(alive)) - 1])
        monkeypatch.setattr(up, "_POLL_S", 0)

    async def check(self) -> str:
        if self.looks:
            self.clock.advance(1)
        self.looks += 1
        return self._lacking[min(self.looks, len(self._lacking)) - 1]


YES, NO = True, False
ENDED = "the supervisor of cluster 'default' ended: see {logs}/supervisor.log"


@pytest.mark.parametrize(
    ("alive", "lacking", "deadline_s", "fault", "looks"),
    [
        ([NO], [""], 60, "", 1),
        ([YES], ["one", "two", ""], 60, "", 3),
        ([NO] * 9 + [YES], ["no"] * 12 + [""], 60, "", 13),
        ([NO], ["no"], 60, ENDED, 12),
        (
            [YES, YES, NO],
            ["no"],
            60,
            "the supervisor of cluster 'default' ended: see {logs}/supervisor.log",
            3,
        ),
        ([YES], ["refused"], 5, "nodes not within 5 s (refused): see {logs}/kubelet-*.log", 7),
    ],
    ids=["ready", "after a while", "a slow start", "never began", "ended", "too late"],
)
def test_how_long_is_waited(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch,
    alive: list[bool], lacking: list[str], deadline_s: float, fault: str, looks: int,
) -> None:  # fmt: skip
    turns = Turns(monkeypatch, alive, lacking)
    waiting = _Waiter(cluster, turns.clock).until("nodes", turns.check, deadline_s, "kubelet-*.log")
    if fault:
        with pytest.raises(CtlError) as raised:
            asyncio.run(waiting)
        assert str(raised.value) == fault.format(logs=cluster.logs)
    else:
        asyncio.run(waiting)
    assert turns.looks == looks


@pytest.mark.parametrize(
    ("failures", "log", "fault"),
    [
        (4, "Error: no such flag", ""),
        (5, "Starting\nError: no such flag", "(Error: no such flag)"),
        (5, None, "(it says nothing)"),
    ],
    ids=["a few times", "each time", "without a word"],
)
def test_a_process_that_does_not_stay_is_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, failures: int, log: str | None, fault: str
) -> None:
    rows = [{"name": "scheduler", "failures": 0}, {"name": "apiserver", "failures": failures}]
    monkeypatch.setattr(supervisor, "ask", lambda *_: {"components": rows})
    cluster.logs.mkdir()
    path = cluster.logs / "apiserver.log"
    if log is not None:
        path.write_text(log)
    turns = Turns(monkeypatch, [YES], ["no", "no", "no", ""])
    waiting = _Waiter(cluster, turns.clock).until("API server", turns.check, 60, "apiserver.log")
    if not fault:
        asyncio.run(waiting)
        return
    with pytest.raises(CtlError) as raised:
        asyncio.run(waiting)
    assert str(raised.value) == f"apiserver ends as soon as it has started {fault}: see {path}"


def node(name: str, ready: str | None = None, cidr: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"metadata": {"name": name}, "spec": {"podCIDR": cidr} if cidr else {}}
    if ready is not None:
        made["status"] = {"conditions": [{"type": "Ready", "status": ready}]}
    return made


@pytest.mark.parametrize(
    ("nodes", "lacking", "given"),
    [
        ([], "not Ready: node-1, node-2", {}),
        ([node("node-1", "True", "10.0.0.0/24")], "not Ready: node-2", {"node-1": "10.0.0.0/24"}),
        (
            [node("node-1", "True"), node("node-2", "Unknown")],
            "not Ready: node-2",
            {"node-1": "10.191.1.0/24", "node-2": "10.191.2.0/24"},
        ),
        ([node("node-1", "True"), node("node-2", "True"), node("mine")], "", {"mine": None}),
        ([node("node-1"), node("node-2", "False")], "not Ready: node-1, node-2", {}),
    ],
    ids=["none", "one, with a range", "no ranges yet", "another's", "nothing known"],
)
async def test_nodes_get_their_ranges_and_are_waited_for(
    cluster: Cluster, nodes: list[Any], lacking: str, given: dict[str, str | None]
) -> None:
    api = FakeApi()
    for one in nodes:
        api.put(NODES, one)
    client = Client(InProcessTransport(api.handler))
    assert await up._nodes(client, cluster)() == lacking
    for name, cidr in given.items():
        spec = (api.get(NODES, name) or {})["spec"]
        assert (spec.get("podCIDR"), spec.get("podCIDRs", [cidr])) == (cidr, [cidr])
    writes = len(api.writes())
    await up._nodes(client, cluster)()
    assert len(api.writes()) == writes, "written once"
    await client.close()


@pytest.mark.parametrize("check", ["_api", "_base", "_nodes"])
@pytest.mark.parametrize("error", [ServiceUnavailable("not yet"), TransportError("refused")])
async def test_an_api_server_that_does_not_answer_yet_is_asked_again(
    cluster: Cluster, check: str, error: Exception
) -> None:
    api = FakeApi()
    cluster.pki.mkdir()
    (cluster.pki / "ca.crt").write_text("CA")

    def react(_request: Any) -> StatusError | None:
        if isinstance(error, StatusError):
            return error
        raise error

    api.reactors.append(react)
    client = Client(InProcessTransport(api.handler))
    made = up._api(client) if check == "_api" else getattr(up, check)(client, cluster)
    assert str(error) in await made()
    api.reactors.clear()
    assert str(error) not in await made()
    await client.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.setattr(up, "check_request", lambda *_: None)  # folders of tests lie deep
    (tmp_path / "dev").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (UpOptions("dev"), ""),
        (UpOptions("dev", nodes=2, store="sqlite", outbound=False), ""),
        (
            UpOptions("dev", nodes=3, store="etcd", outbound=True),
            "  it stays as it was made (nodes 2, store sqlite, outbound False): "
            "'tiphys down' first, for another shape\n",
        ),
    ],
    ids=["as it is", "the same", "another shape"],
)
def test_a_cluster_that_runs_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch, options: UpOptions, kept: str
) -> None:
    made = Cluster("dev", 3, home / "dev", 2, outbound=False)
    state.save(made)
    monkeypatch.setattr(supervisor, "ask", lambda cluster, do: {"stopping": False})
    said = io.StringIO()
    assert up.up(options, HOOKS, Progress(said), FakeClock()) == made
    assert said.getvalue() == "cluster 'dev' is already running; nothing changed\n" + kept


def test_a_cluster_that_stops_is_not_brought_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save(Cluster("dev", 3, home / "dev"))
    monkeypatch.setattr(supervisor, "ask", lambda cluster, do: {"stopping": True})
    with pytest.raises(CtlError, match="cluster 'dev' is just stopping: try again in a moment"):
        up.up(UpOptions("dev"), HOOKS, Progress(io.StringIO()), FakeClock())


def test_two_do_not_bring_it_up_at_once(home: Path) -> None:
    with state.lock(home / "dev"), pytest.raises(CtlError, match="another 'tiphys up' or 'tiphys down'"):
        up.up(UpOptions("dev"), HOOKS, Progress(io.StringIO()), FakeClock())


def test_a_damaged_record_is_no_new_cluster(home: Path) -> None:
    (home / "dev" / "cluster.json").write_text("{}")
    with pytest.raises(CtlError, match="is damaged: it has no 'index'; put it back as it was"):
        up.up(UpOptions("dev"), HOOKS, Progress(io.StringIO()), FakeClock())
    assert (home / "dev" / "cluster.json").read_text() == "{}"


def test_remains_that_hold_ports_are_ended_and_containerd_is_not(cluster: Cluster) -> None:
    with subprocess.Popen(["sleep", "65.1"]) as server, subprocess.Popen(["sleep", "65.2"]) as containerd:
        record = {
            name: {"pid": one.pid, "started": state.start_time(one.pid)}
            for name, one in (("apiserver", server), ("containerd-node-1", containerd))
        }
        state.write_json(cluster.folder / "processes.json", {"components": {**record, "gone": {}}})
        up._end_remains(cluster)
        assert server.wait(30) == -15
        assert containerd.poll() is None
        containerd.kill()
