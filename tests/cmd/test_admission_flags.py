"""Which admission plugins flags turn on and off."""

from __future__ import annotations

import logging

import click
import pytest

from tiphys.cmd.admission_flags import switched_off


@pytest.mark.parametrize(
    ("enable", "disable", "off"),
    [
        ("", "", ()),
        ("NodeRestriction", "", ()),
        ("NodeRestriction,PodSecurity", "Priority,LimitRanger", ("Priority", "LimitRanger")),
        ("", "AlwaysPullImages", ("AlwaysPullImages",)),
    ],
)
def test_what_is_left_out(enable: str, disable: str, off: tuple[str, ...]) -> None:
    assert switched_off(enable, disable) == off


@pytest.mark.parametrize(
    ("enable", "disable", "says"),
    [
        ("Foo", "", 'enable-admission-plugins plugin "Foo" is unknown'),
        ("", "Foo", 'disable-admission-plugins plugin "Foo" is unknown'),
        ("", "RbacEscalation", 'disable-admission-plugins plugin "RbacEscalation" is unknown'),
        (
            "PodSecurity,Priority", "Priority",
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
        ),
    ],
)  # fmt: skip
def test_refused(enable: str, disable: str, says: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        switched_off(enable, disable)
    assert caught.value.message == says


def test_what_is_not_built_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert switched_off("EventRateLimit,NodeRestriction", "") == ()
    assert caplog.messages == ["admission plugin EventRateLimit is not built here, it stays off"]
