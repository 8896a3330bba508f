"""What becomes of a key by how its reconcile ended."""

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Conflict, Forbidden, NotFound, TerminalError
from tiphys.client.controller import process
from tiphys.client.transport import TransportError
from tiphys.client.workqueue import WorkQueue


@pytest.mark.parametrize(
    ("outcome", "due", "failures", "logged"),
    [
        pytest.param(None, None, 0, [], id="done"),
        pytest.param(30.0, 30.0, 0, [], id="again later"),
        pytest.param(Conflict("x"), 0.005, 1, [], id="conflict is quiet"),
        pytest.param(NotFound("x"), 0.005, 1, [], id="gone meanwhile is quiet"),
        pytest.param(TerminalError("x"), None, 0, ["ERROR"], id="terminal is not retried"),
        pytest.param(TransportError("x"), 0.005, 1, ["WARNING"], id="no server"),
        pytest.param(Forbidden("no quota"), 0.005, 1, ["WARNING"], id="a refusal is retried"),
        pytest.param(ValueError("x"), 0.005, 1, ["ERROR"], id="a bug is retried"),
    ],
)
async def test_process(outcome, due, failures, logged, caplog):
    queue = WorkQueue(clock=FakeClock())

    async def reconcile(key):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    await process(queue, reconcile, "a")
    assert (queue.next_due, queue.failures("a")) == (due, failures)
    assert [record.levelname for record in caplog.records if record.levelno > 20] == logged
    assert not any(record.exc_info for record in caplog.records if record.levelname == "WARNING")
    queue.close()


@pytest.mark.parametrize(
    ("error", "longest"), [(Conflict, 0.005), (NotFound, 0.005), (Forbidden, 39.9), (ValueError, 39.9)]
)
async def test_only_failures_share_a_rate(error, longest):
    """Five hundred keys that were overtaken at once are back at once: nobody has failed."""
    queue = WorkQueue(clock=FakeClock())

    async def reconcile(key):
        raise error("x")

    for index in range(500):
        await process(queue, reconcile, str(index))
    assert max(queue._due.values()) == pytest.approx(longest, abs=0.2)
    queue.close()


async def test_who_is_overtaken_again_and_again_waits_longer():
    queue = WorkQueue(clock=FakeClock())

    async def reconcile(key):
        raise Conflict("x")

    waits = []
    for _ in range(4):
        await process(queue, reconcile, "a")
        waits.append(queue._due.pop("a"))
    assert waits == [0.005, 0.01, 0.02, 0.04]
    queue.close()
