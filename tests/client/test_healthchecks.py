"""What is said of health checks, whatever they look at."""

from __future__ import annotations

import io
import logging

import pytest

from tiphys.client.healthchecks import log_fault, report


def test_a_line_for_each_check_and_for_what_is_left_out_in_vain() -> None:
    good, lines = report({"ping": None, "log": "gone", "etcd": None}, [])
    assert not good
    assert lines == ["[+]ping ok", "[-]log failed: reason withheld", "[+]etcd ok"]
    good, lines = report({"ping": None, "log": "gone"}, ["log", "x", "a", "x"])
    assert good
    assert lines == [
        "[+]ping ok",
        "[+]log excluded: ok",
        'warn: some health checks cannot be excluded: no matches for "a","x"',
    ]


def test_a_log_that_is_closed_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    assert log_fault() is None
    stream.close()
    assert log_fault() == "logging blocked"
