"""Events that are too large: what is left of them, what is dropped, how batches are cut."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import click
import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.sinks import BatchOptions, LogFile, LogOptions, Webhook
from tiphys.apiserver.audit.truncate import MARK, TruncateOptions, Truncating, truncated
from tiphys.cmd.apiserver import apiserver, audit_from
from tiphys.cmd.component import FlagError

SMALL = {"auditID": "1", "level": "Metadata"}
LARGE = {
    "auditID": "2", "level": "RequestResponse", "annotations": {"a": "b"},
    "requestObject": {"data": "x" * 500}, "responseObject": {"data": "y" * 500},
}  # fmt: skip
WITHOUT = {"auditID": "2", "level": "RequestResponse", "annotations": {"a": "b", MARK: "true"}}
CASES: list[tuple[str, dict[str, Any], int, dict[str, Any] | None]] = [
    ("small enough", SMALL, 100, SMALL),
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
        self.dropped = 3
        self.closed = False

    def put(self, event: Any) -> None:
        self.events.append(event)

    async def run(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True


async def test_a_sink_gets_what_is_small_enough(caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken()
    sink = Truncating(taken, TruncateOptions(max_event_bytes=500))
    for event in (SMALL, LARGE, {**SMALL, "auditID": "3", "userAgent": "z" * 600}):
        sink.put(event)
    assert taken.events == [SMALL, WITHOUT]
    assert sink.dropped == 1 + 3
    assert "too large even after truncating id=3" in caplog.text
    await sink.run()
    await sink.close()
    assert taken.closed


class Receiver:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def __call__(self, body: bytes) -> None:
        self.batches.append([item["auditID"] for item in orjson.loads(body)["items"]])

    async def close(self) -> None:
        return


async def test_batches_are_cut_by_their_size() -> None:
    receiver = Receiver()
    webhook = Webhook(receiver, BatchOptions(max_bytes=100, max_size=3))
    for number, size in enumerate((10, 10, 200, 10, 10, 10, 10)):
        webhook.put({"auditID": str(number), "x": "x" * size})
    await webhook.flush()
    assert receiver.batches == [["0", "1"], ["2"], ["3", "4", "5"], ["6"]]


def test_what_is_set_aside_is_compressed(tmp_path: Path) -> None:
    clock = FakeClock()
    log = LogFile(LogOptions(str(tmp_path / "audit.log"), compress=True, max_backups=1), clock)
    for number in range(3):
        log.put({"auditID": str(number)})
        clock.advance(1)
        log.rotate()
    (aside,) = tmp_path.glob("audit-*")
    assert aside.suffix == ".gz"
    assert aside.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(gzip.decompress(aside.read_bytes())) == {"auditID": "2"}


def flags(*line: str) -> dict[str, Any]:
    with apiserver.make_context("x", list(line)) as ctx:
        return dict(ctx.params)


def test_flags() -> None:
    options = audit_from(flags("--audit-log-truncate-enabled", "--audit-webhook-truncate-max-event-size=5"))
    assert options.truncate_log == TruncateOptions(102400, 10485760)
    assert options.truncate_webhook is None
    options = audit_from(
        flags("--audit-webhook-truncate-enabled=true", "--audit-webhook-truncate-max-event-size=5")
    )
    assert options.truncate_webhook == TruncateOptions(5, 10485760)
    options = audit_from(flags("--audit-log-path=-", "--audit-log-compress"))
    assert options.log is not None
    assert options.log.compress


def test_sizes_that_make_no_sense() -> None:
    line = ("--audit-log-truncate-enabled", "--audit-log-truncate-max-batch-size=5")
    with pytest.raises(FlagError, match="must be less than max batch size"):
        audit_from(flags(*line))
    with pytest.raises(click.UsageError):
        audit_from(flags("--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=-1"))
