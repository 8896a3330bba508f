"""The cache follows the server through changes, broken watches and lost history."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from tiphys.client import informer as informer_module
from tiphys.client.fake_api import FakeApi
from tiphys.client.informer import CacheMutated, InformerSet, without_managers
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.metrics import REGISTRY
from tiphys.client.rest import Client
from tiphys.client.transport import Stream, TransportError


def pod(name, node="", namespace="default"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node},
    }


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(informer_module, "_BACKOFF_BASE_S", 0.0)


@pytest.fixture
def api():
    return FakeApi()


@asynccontextmanager
async def running(informers):
    task = asyncio.ensure_future(informers.run())
    await informers.wait_synced()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(predicate):
    for _ in range(1000):
        if predicate():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


def make(api, **options):
    return InformerSet(Client(InProcessTransport(api.handler)), **options)


async def test_handlers_see_the_list_and_then_every_change(api):
    api.put(PODS, pod("a"))
    informers = make(api)
    pods = informers.get(PODS)
    seen = []
    pods.add_handler(
        lambda old, new: seen.append((old and old["spec"]["nodeName"], new and new["spec"]["nodeName"]))
    )
    async with running(informers):
        api.put(PODS, pod("a", "n1"))
        api.remove(PODS, "a", "default")
        await until(lambda: len(seen) == 3)
    assert seen == [(None, ""), ("", "n1"), ("n1", None)]
    assert pods.list() == []


async def test_a_late_handler_is_told_what_is_there(api):
    api.put(PODS, pod("a"))
    informers = make(api)
    pods = informers.get(PODS)
    async with running(informers):
        seen = []
        pods.add_handler(lambda old, new: seen.append(new["metadata"]["name"]))
        assert seen == ["a"]


async def test_indexes_and_namespaces_follow_changes(api):
    api.put(PODS, pod("a", "n1"))
    api.put(PODS, pod("b", "n1", "other"))
    informers = make(api)
    pods = informers.get(PODS)
    pods.add_index("node", lambda obj: [obj["spec"]["nodeName"]])
    async with running(informers):
        assert len(pods.by_index("node", "n1")) == 2
        api.put(PODS, pod("a", "n2"))
        await until(lambda: pods.by_index("node", "n2"))
        assert [item["metadata"]["name"] for item in pods.by_index("node", "n1")] == ["b"]
        assert [item["metadata"]["name"] for item in pods.list("other")] == ["b"]
        assert pods.get("default/a")["spec"]["nodeName"] == "n2"


async def test_a_broken_watch_resumes_without_listing(api):
    informers = make(api)
    pods = informers.get(PODS)
    async with running(informers):
        await until(lambda: len(api.calls) == 2)
        api.break_watches()
        api.put(PODS, pod("a"))
        await until(lambda: pods.get("default/a"))
    # A list and a watch open with the same verb; three requests are one list and two watches.
    assert len(api.calls) == 3


class Balanced(InProcessTransport):
    """Reaches the server by way of a balancer that cuts streams off when told to."""

    def __init__(self, handler):
        super().__init__(handler)
        self.opened = 0
        self.cutting: list[asyncio.Event] = []

    def cut(self):
        for event in self.cutting:
            event.set()
        self.cutting.clear()

    @asynccontextmanager
    async def stream(self, call):
        cut = asyncio.Event()
        self.cutting.append(cut)
        async with super().stream(call) as stream:
            self.opened += 1
            yield Stream(stream.status, stream.headers, self._chunks(stream.chunks, cut))

    async def _chunks(self, chunks, cut):
        ends = asyncio.ensure_future(cut.wait())
        while True:
            piece = asyncio.ensure_future(anext(chunks))
            try:
                await asyncio.wait((ends, piece), return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    raise TransportError("server disconnected")
                yield piece.result()
            finally:
                piece.cancel()
                await asyncio.gather(piece, return_exceptions=True)


async def test_idle_watches_that_are_cut_off_again_and_again_are_taken_up_at_once(api, monkeypatch, caplog):
    """Who waits longer each time sees nothing for half a minute where a balancer ends what is idle."""
    monkeypatch.setattr(informer_module, "_LIVED_S", 0.0)
    transport = Balanced(api.handler)
    informers = InformerSet(Client(transport))
    pods = informers.get(PODS)
    async with running(informers):
        for opened in range(1, 6):
            await until(lambda opened=opened: transport.opened == opened)
            transport.cut()
            await until(lambda: not transport.cutting or transport.opened > opened)  # noqa: B023
            assert pods._failures <= 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_watches_that_break_as_soon_as_they_begin_have_failed(api, monkeypatch, caplog):
    monkeypatch.setattr(informer_module, "_LIVED_S", 1e9)
    transport = Balanced(api.handler)
    informers = InformerSet(Client(transport))
    pods = informers.get(PODS)
    async with running(informers):
        await until(lambda: transport.opened)
        transport.cut()
        await until(lambda: pods._failures)
    assert "server disconnected" in caplog.text


async def test_watches_that_end_as_soon_as_they_begin_are_not_asked_for_without_pause(
    api, monkeypatch, caplog
):
    monkeypatch.setattr(informer_module, "_LIVED_S", 1e9)
    informers = make(api)
    pods = informers.get(PODS)
    async with running(informers):

        def refused():
            api.break_watches()
            return pods._failures > 0

        await until(refused)
    assert "very short watch" in caplog.text


async def test_lost_history_lists_again_and_reports_the_difference(api):
    api.put(PODS, pod("gone"))
    api.put(PODS, pod("stays"))
    informers = make(api)
    pods = informers.get(PODS)
    changes = []
    pods.add_handler(lambda old, new: changes.append((bool(old), bool(new))))
    async with running(informers):
        await until(lambda: len(api.calls) == 2)
        del changes[:]
        api.break_watches()
        api.remove(PODS, "gone", "default")
        api.put(PODS, pod("new"))
        api.expire()
        await until(lambda: pods.get("default/new"))
    assert sorted(changes) == [(False, True), (True, False)]


async def test_deleted_and_recreated_unseen_is_two_facts(api):
    api.put(PODS, pod("a"))
    informers = make(api)
    pods = informers.get(PODS)
    changes = []
    pods.add_handler(lambda old, new: changes.append((bool(old), bool(new))))
    async with running(informers):
        again = {**pod("a")}
        again["metadata"]["uid"] = "another"
        api.put(PODS, again)
        await until(lambda: len(changes) == 3)
    assert changes == [(False, True), (True, False), (False, True)]


async def test_informers_are_shared_and_can_be_asked_for_while_running(api):
    informers = make(api)
    assert informers.get(PODS) is informers.get(PODS)
    async with running(informers):
        late = informers.get(PODS, namespace="other")
        await late.wait_synced()
        assert late is not informers.get(PODS)
        informers.remove(PODS)


async def test_an_informer_that_ended_holds_nothing_and_calls_nobody(api):
    pods = (informers := make(api, detect_mutation=True)).get(PODS)
    pods.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
    seen = []
    pods.add_handler(lambda old, new: seen.append(new))
    api.put(PODS, pod("a"))
    async with running(informers):
        await pods.wait_synced()
        assert len(pods.by_index("namespace", "default")) == 1
        informers.remove(PODS)
        assert pods.ended
        assert (pods.list(), pods.list("default"), pods.by_index("namespace", "default")) == ([], [], [])
        api.put(PODS, pod("b"))
        again = informers.get(PODS)
        await again.wait_synced()
        assert (len(again.list()), len(seen), again.ended) == (2, 1, False)


async def test_what_is_trimmed_is_nowhere_in_the_cache(api):
    managed = {"metadata": {"managedFields": [{"manager": "kubectl"}]}}
    api.put(PODS, {**pod("listed"), "metadata": {**pod("listed")["metadata"], **managed["metadata"]}})
    pods = (informers := make(api, trim=without_managers, detect_mutation=True)).get(PODS)
    seen = []
    pods.add_handler(lambda old, new: seen.append(new))
    async with running(informers):
        api.put(PODS, {**pod("watched"), "metadata": {**pod("watched")["metadata"], **managed["metadata"]}})
        await until(lambda: len(seen) == 2)
    assert [one["metadata"].get("managedFields") for one in (*seen, *pods.list())] == [None] * 4
    assert pods.get("default/watched")["metadata"]["namespace"] == "default"
    informers.check_mutations()


async def test_the_detector_catches_a_changed_cache(api):
    api.put(PODS, pod("a"))
    informers = make(api, detect_mutation=True)
    informers.get(PODS)
    async with running(informers):
        informers.check_mutations()
        informers.get(PODS).get("default/a")["spec"]["nodeName"] = "mine"
        with pytest.raises(CacheMutated):
            informers.check_mutations()


async def test_what_changes_take_is_counted_where_it_is_said_whose_they_are(api):
    """Of each object of a list, and of each event."""
    api.put(PODS, pod("a"))
    api.put(PODS, pod("b"))
    named, nameless = make(api, name="counted"), make(api)
    labels = {"name": "counted", "group": "", "version": "v1", "resource": "pods"}

    def count():
        return REGISTRY.sample_value("informer_processing_latency_seconds_count", labels)

    pods = named.get(PODS)
    nameless.get(PODS)
    async with running(named), running(nameless):
        assert count() == 2
        api.put(PODS, pod("a", "n"))
        await until(lambda: pods.get("default/a")["spec"]["nodeName"] == "n")
        assert count() == 3
    assert REGISTRY.sample_value("informer_processing_latency_seconds_count", {**labels, "name": ""}) is None
