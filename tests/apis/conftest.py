"""For tables of rules: what the API says of a new object, and of one that replaces another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import DEFAULTS
from tiphys.apimachinery.meta import copy_object, gvk_of
from tiphys.apis.field_gates import FieldGates
from tiphys.apis.strategies import strategy_for
from tiphys.apis.strategy import Strategy

Body = dict[str, Any]


def _strategy(obj: Body) -> Strategy:
    return strategy_for(gvk_of(obj))


def _drop_gated(new: Body, old: Body | None) -> None:
    gvk = gvk_of(new)
    FieldGates(DEFAULTS).drop((gvk.group, gvk.kind), new, old)


def _completed(obj: Body) -> Body:
    copy = copy_object(obj)
    copy.setdefault("metadata", {"name": "x", "namespace": "ns", "uid": "u"})
    _strategy(obj).default(copy)
    return copy


@pytest.fixture
def faults_of_new() -> Callable[[Body], list[str]]:
    """Return what is wrong with an object that a client creates."""

    def check(obj: Body) -> list[str]:
        new = _completed(obj)
        _drop_gated(new, None)
        _strategy(obj).prepare_create(new)
        return [str(fault) for fault in _strategy(obj).validate(new)]

    return check


@pytest.fixture
def faults_of_change() -> Callable[[Body, Body], list[str]]:
    """Return what is wrong with replacing the first object, which a client made, with the second."""

    def check(old: Body, new: Body) -> list[str]:
        before, after = _completed(old), _completed(new)
        _drop_gated(before, None)
        _strategy(old).prepare_create(before)
        if "status" in old:
            before["status"] = old["status"]
        _drop_gated(after, before)
        _strategy(new).prepare_create(after)
        _strategy(new).prepare_update(after, before)
        return [str(fault) for fault in _strategy(new).validate_update(after, before)]

    return check


@pytest.fixture
def faults_of_status() -> Callable[[Body, Body, Body], list[str]]:
    """Return what is wrong with an object's status, given the one that it had before."""

    def check(obj: Body, old: Body, new: Body) -> list[str]:
        whole = _completed(obj)
        found = _strategy(obj).validate_status_update({**whole, "status": new}, {**whole, "status": old})
        return [str(fault) for fault in found]

    return check


@pytest.fixture
def kept_of_status() -> Callable[[Body, Body, Body], Body]:
    """Return what is left of a status that somebody writes, given the one that the object had before."""

    def check(obj: Body, old: Body, new: Body) -> Body:
        before, after = ({**copy_object(obj), "status": copy_object(status)} for status in (old, new))
        _drop_gated(after, before)
        _strategy(obj).prepare_status_update(after, before)
        kept: Body = after["status"]
        return kept

    return check


@pytest.fixture
def kept_of_change() -> Callable[[Body, Body], Body]:
    """Return what is left of the second object where it replaces the first, which is there as it is."""

    def check(old: Body, new: Body) -> Body:
        before, after = _completed(old), _completed(new)
        _drop_gated(after, before)
        _strategy(new).prepare_update(after, before)
        return after

    return check


@pytest.fixture
def kept_of_new() -> Callable[[Body], Body]:
    """Return what is left of an object that a client creates."""

    def check(obj: Body) -> Body:
        new = _completed(obj)
        _drop_gated(new, None)
        _strategy(obj).prepare_create(new)
        return new

    return check


@pytest.fixture
def warnings_of_change() -> Callable[[Body, Body], list[str]]:
    """Return what the API says of replacing the first object with the second."""
    return lambda old, new: _strategy(new).warnings(_completed(new), _completed(old))


@pytest.fixture
def warnings_of() -> Callable[[Body], list[str]]:
    """Return what the API says of a new object that it lets through."""
    return lambda obj: _strategy(obj).warnings(_completed(obj), None)
