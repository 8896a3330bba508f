"""How many watchers a change would be told: what the width of writes rests on."""

from __future__ import annotations

import pytest

from tiphys.apiserver.cache.lanes import Outbox, Watcher
from tiphys.apiserver.cache.watchers import Watchers
from tiphys.apiserver.registry.objects import Selection

WATCHERS = (
    *(Selection() for _ in range(3)),
    *(Selection("a") for _ in range(5)),
    Selection("b"),
    Selection("a", name="p"),
    Selection(name="p"),
    *(Selection(field_equals=("spec.nodeName", f"n{number % 4}")) for number in range(8)),
)


@pytest.fixture
def watchers() -> Watchers:
    found = Watchers(Outbox())
    for selection in WATCHERS:
        found.add(Watcher(selection))
    return found


@pytest.mark.parametrize(
    ("namespace", "name", "count"),
    [
        ("a", "", 3 + 5 + 2),
        ("a", "p", 3 + 5 + 2 + 2),
        ("b", "p", 3 + 1 + 1 + 2),
        ("c", "q", 3 + 2),
        ("", "", 3 + 2),
    ],
)
def test_who_would_be_told(watchers: Watchers, namespace: str, name: str, count: int) -> None:
    assert watchers.interested(namespace, name) == count


def test_nobody() -> None:
    assert Watchers(Outbox()).interested("a", "p") == 0
