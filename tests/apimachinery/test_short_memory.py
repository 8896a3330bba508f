"""What is long is answered as what is short, and not kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from tiphys.apimachinery import go_key_order, jsonpath, labels, names
from tiphys.apimachinery.short_memory import LONGEST, short_memory, short_memory_of_many
from tiphys.apiserver.endpoints.negotiation import accept_format, body_media_type, failure_format
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.wire import accept


def test_short_texts_are_asked_about_once() -> None:
    asked: list[str] = []

    @short_memory(8)
    def size(text: str) -> int:
        asked.append(text)
        return len(text)

    short, long = "a" * LONGEST, "a" * (LONGEST + 1)
    assert [size(short), size(short), size(long), size(long)] == [LONGEST, LONGEST, LONGEST + 1, LONGEST + 1]
    assert asked == [short, long, long]


def test_one_long_text_among_several_is_enough() -> None:
    asked: list[int] = []

    @short_memory_of_many(8)
    def sizes(one: str, other: str, *, more: bool) -> int:
        asked.append(len(other))
        return len(one) + len(other) + more

    short, long = "a", "b" * (LONGEST + 1)
    for other in (short, short, long, long):
        assert sizes("x", other, more=True) == 2 + len(other)
    assert asked == [1, LONGEST + 1, LONGEST + 1]


LONG = "x" * 100_000
ASKED = {
    "a path": lambda text: parse("GET", f"/api/v1/namespaces/{text}/pods"),
    "a path that is proxied": lambda text: parse("GET", f"/api/v1/namespaces/a/pods/b/proxy/{text}"),
    "a path with a query": lambda text: parse("GET", f"/api/v1/namespaces/{text}/pods", "limit=1"),
    "a selector": lambda text: labels.parse_selector(f"{text[:2]},{'a,' * 1000}a"),
    "a key of a label": lambda text: names.is_qualified_name(f"a/{text}"),
    "what is accepted": lambda text: accept.clauses(f"a/{text}"),
    "which route": lambda text: accept.reaches(f"a/{text}", ("a/b",)),
    "the form of an answer": lambda text: accept_format("", "", text),
    "the form of a failure": lambda text: failure_format(text, "", ""),
    "the type of a body": lambda text: body_media_type(f"application/json; a={text}"),
    "the way to a value": lambda text: jsonpath.parse(f".{text}"),
    "the order of keys": lambda text: go_key_order.in_order((text, "a")),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_nothing_that_a_client_says_at_length_is_kept(ask: Callable[[str], object]) -> None:
    ask(LONG)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10):
            ask(f"{number}{LONG}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 5 * len(LONG)
