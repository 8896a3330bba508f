"""Events that are too large: what is left of them, what is dropped, and batches of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.batches import Batched, BatchOptions
from tiphys.apiserver.audit.sinks import LogFile, LogOptions
from tiphys.apiserver.audit.truncate import MARK, TruncateOptions, Truncating, truncated

SMALL = {"auditID": "1", "level": "Metadata"}
LARGE = {
    "auditID": "2", "level": "RequestResponse", "annotations": {"a": "b"},
    "requestObject": {"data": "x" * 500}, "responseObject": {"data": "y" * 500},
}  # fmt: skip
WITHOUT = {"auditID": "2", "level": "RequestResponse", "annotations": {"a": "b", MARK: "true"}}
CASES: list[tuple[str, dict[str, Any], int, dict[str, Any] | None]] = [
    ("small enough", SMALL, 100, SMALL),
    ("small enough with its newline", SMALL, len(orjson.dumps(SMALL)) + 1, SMALL),
    ("one byte too large", SMALL, len(orjson.dumps(SMALL)), None),
    ("with objects, small enough", LARGE, 2000, LARGE),
    ("without its objects", LARGE, 500, WITHOUT),
    ("too large all the same", {**LARGE, "userAgent": "z" * 600}, 500, None),
    ("nothing to leave out", {**SMALL, "userAgent": "z" * 600}, 500, None),
]


@pytest.mark.parametrize(("event", "most", "left"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_events(event: dict[str, Any], most: int, left: dict[str, Any] | None) -> None:
    before = orjson.dumps(event)
    assert truncated(event, most) == left
    assert orjson.dumps(event) == before, "other sinks still want all of it"


class Taken:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.strict = True
        self.failures = {"log": 3}
        self.closed = False

    def put(self, event: Any) -> bool:
        self.events.append(event)
        return False

    async def run(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True


async def test_a_sink_gets_what_is_small_enough(caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken()
    sink = Truncating(taken, TruncateOptions(max_event_bytes=500))
    answers = [sink.put(one) for one in (SMALL, LARGE, {**SMALL, "auditID": "3", "userAgent": "z" * 600})]
    assert answers == [False, False, True], "what nobody could keep stops no request"
    assert taken.events == [SMALL, WITHOUT]
    assert sink.strict
    assert sink.failures == {"truncate": 1, "log": 3}
    assert "too large even after truncating id=3" in caplog.text
    await sink.run()
    await sink.close()
    assert taken.closed


class Kept:
    name, failed = "webhook", 0

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def process(self, events: Any) -> bool:
        self.batches.append([item["auditID"] for item in events])
        return True

    async def close(self) -> None:
        return


async def test_batches_are_made_of_events_that_were_cut_whatever_they_come_to() -> None:
    kept = Kept()
    batched = Batched(kept, BatchOptions(max_size=3), FakeClock())
    sink = Truncating(batched, TruncateOptions(max_event_bytes=100))
    for number, size in enumerate((10, 10, 200, 60, 60, 60, 60)):
        sink.put({"auditID": str(number), "x": "x" * size})
    await sink.close()
    assert kept.batches == [["0", "1", "3"], ["4", "5", "6"]]


def test_what_is_set_aside_is_compressed(tmp_path: Path) -> None:
    clock = FakeClock()
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), compress=True, max_backups=1), clock)
    for number in range(3):
        log.put({"auditID": str(number)})
        clock.advance(1)
        log.rotate()
        log.settle()
    (aside,) = tmp_path.glob("audit-*")
    assert aside.suffix == ".gz"
    assert aside.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(gzip.decompress(aside.read_bytes())) == {"auditID": "2"}
