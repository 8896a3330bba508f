"""Contexts, samplers and the present span."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import MILLION, Span, SpanContext, Tracer, read_headers, step

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS: dict[str, tuple[str, bool | None]] = {
    "sampled": (f"00-{TRACE}-{SPAN}-01", True),
    "not sampled": (f"00-{TRACE}-{SPAN}-00", False),
    "other flags": (f"00-{TRACE}-{SPAN}-03", True),
    "of a later version": (f"cc-{TRACE}-{SPAN}-01-what-there-may-be", True),
    "version ff": (f"ff-{TRACE}-{SPAN}-01", None),
    "more than version 00 has": (f"00-{TRACE}-{SPAN}-01-more", None),
    "no trace": (f"00-{'0' * 32}-{SPAN}-01", None),
    "no span": (f"00-{TRACE}-{'0' * 16}-01", None),
    "upper case": (f"00-{TRACE.upper()}-{SPAN}-01", None),
    "short": (f"00-{TRACE}-01", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "sampled"), HEADERS.values(), ids=HEADERS)
def test_what_a_header_says(text: str, sampled: bool | None) -> None:
    found = read_headers({"traceparent": text, "tracestate": "a=b"})
    assert (found.sampled if found else None) is sampled
    if found is not None:
        assert (found.trace_id.hex(), found.span_id.hex(), found.state) == (TRACE, SPAN, "a=b")
        assert found.remote
        flags = "01" if sampled else "00"
        assert found.headers() == {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "tracestate": "a=b"}


def test_without_a_header() -> None:
    assert read_headers({}) is None


class World:
    def __init__(self, per_million: int = MILLION) -> None:
        self.ended: list[Span] = []
        self.clock = FakeClock()
        self.tracer = Tracer(per_million, self.clock, self.ended.append)


def test_steps_are_children_of_the_present_span() -> None:
    world = World()
    with world.tracer.span("whole") as whole:
        world.clock.advance(1.0)
        with step("part", {"where": "there"}, kind=tracing.CLIENT) as part:
            assert part is not None
            assert tracing.current() is part
            assert tracing.headers() == part.context.headers()
            world.clock.advance(2.0)
        assert tracing.current() is whole
    assert tracing.current() is None
    assert [span.name for span in world.ended] == ["part", "whole"]
    assert part.parent == whole.context
    assert part.context.trace_id == whole.context.trace_id
    assert part.context.span_id != whole.context.span_id
    assert part.attributes == {"where": "there"}
    assert (part.ended_ns - part.started_ns, whole.ended_ns - whole.started_ns) == (
        2_000_000_000,
        3_000_000_000,
    )


def test_nothing_is_noted_where_nobody_traces() -> None:
    with step("part") as part:
        assert part is None
    assert tracing.headers() == {}


def test_a_span_fails_with_what_is_raised() -> None:
    world = World()
    with pytest.raises(ValueError, match="no"), world.tracer.span("a"):
        raise ValueError("no")
    assert [span.error for span in world.ended] == ["no"]


@pytest.mark.parametrize(
    ("per_million", "least", "most"), [(0, 0, 0), (MILLION, 500, 500), (500_000, 150, 350)]
)
def test_of_how_many_traces_there_are_spans(per_million: int, least: int, most: int) -> None:
    world = World(per_million)
    for _ in range(500):
        with world.tracer.span("a") as outer, step("b") as inner:
            assert inner is not None
            assert inner.context.sampled is outer.context.sampled
    assert least <= len(world.ended) / 2 <= most


@pytest.mark.parametrize("sampled", [True, False])
def test_children_of_others_are_sampled_as_those_were(*, sampled: bool) -> None:
    world = World(0 if sampled else MILLION)
    parent = SpanContext(b"\x01" * 16, b"\x02" * 8, sampled, "a=b", remote=True)
    with world.tracer.span("a", parent=parent) as span:
        span.set({"http.status": 200})
        assert span.context.state == "a=b"
        assert span.attributes == ({"http.status": 200} if sampled else {})
    assert len(world.ended) == sampled


async def test_tasks_have_their_own_present_span() -> None:
    world = World()

    async def work(name: str) -> None:
        with step(name):
            await asyncio.sleep(0)
            found = tracing.current()
            assert found is not None
            assert found.name == name

    with world.tracer.span("whole"):
        async with asyncio.TaskGroup() as tasks:
            for name in "abc":
                tasks.create_task(work(name))
    assert sorted(span.name for span in world.ended) == ["a", "b", "c", "whole"]
