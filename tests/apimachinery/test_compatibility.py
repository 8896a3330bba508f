"""Versions that a component may behave as: forms, bounds, and upstream's words for the rest.

Source: upstream's tests of its effective versions and of its component registry.
"""

from __future__ import annotations

import pytest

from tiphys.apimachinery.compatibility import BINARY, DEFAULT, Effective, VersionError, effective, shown

GOOD: list[tuple[list[str], list[str], Effective]] = [
    ([], [], DEFAULT),
    (["1.36"], [], Effective((1, 36), (1, 35))),
    (["1.35"], [], Effective((1, 35), (1, 34))),
    (["kube=v1.34"], [], Effective((1, 34), (1, 33))),
    (["1.33"], [], Effective((1, 33), (1, 33))),
    (["1.35.0"], ["1.33"], Effective((1, 35), (1, 33))),
    ([], ["kube=1.36"], Effective((1, 36), (1, 36))),
]


@pytest.mark.parametrize(("emulated", "least", "expected"), GOOD)
def test_versions(emulated: list[str], least: list[str], expected: Effective) -> None:
    assert effective(emulated, least) == expected


BAD: list[tuple[list[str], list[str], str]] = [
    (["1.32"], [], "[emulation version 1.32 is not between [1.33, 1.36.0], "
     "minCompatibilityVersion version 1.33 is not between [1.33, 1.32]]"),
    (["1.37"], [], "emulation version 1.37 is not between [1.33, 1.36.0]"),
    (["1.34"], ["1.35"], "minCompatibilityVersion version 1.35 is not between [1.33, 1.34]"),
    (["1.99"], ["1.30"], "[emulation version 1.99 is not between [1.33, 1.36.0], "
     "minCompatibilityVersion version 1.30 is not between [1.33, 1.99]]"),
    (["1.35.1"], [], "patch version not allowed, got: kube=1.35.1"),
    (["1.35", "kube=1.34"], [], "duplicate version flag, kube=1.35 and kube=1.34"),
    (["wardle=1.2"], [], "component not registered: wardle"),
    (["abc"], [], 'could not parse "abc" as version'),
    (["1"], [], 'illegal version string "1"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("emulated", "least", "text"), BAD, ids=[" ".join((*row[0], *row[1])) for row in BAD]
)
def test_versions_that_cannot_be(emulated: list[str], least: list[str], text: str) -> None:
    with pytest.raises(VersionError) as caught:
        effective(emulated, least)
    assert str(caught.value) == text


def test_a_version_as_it_is_shown() -> None:
    assert shown(BINARY) == "1.36"
