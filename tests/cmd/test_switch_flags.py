"""The API server's switches: what they mean, and what they are where nobody says."""

from __future__ import annotations

import pytest

from tiphys.apiserver.options import ApiServerOptions
from tiphys.cmd.apiserver import apiserver
from tiphys.cmd.switch_flags import switch_options


@pytest.mark.parametrize(
    ("flag", "name", "usual", "other"),
    [
        ("enable-garbage-collector", "collects_garbage", True, False),
        ("aggregator-reject-forwarding-redirect", "rejects_redirects", True, False),
        ("enable-aggregator-routing", "routes_to_endpoints", False, True),
    ],
)
def test_switches(flag: str, name: str, *, usual: bool, other: bool) -> None:
    for line, wanted in (([], usual), ([f"--{flag}={str(other).lower()}"], other)):
        with apiserver.make_context("apiserver", line) as context:
            assert switch_options(context.params)[name] is wanted
    assert getattr(ApiServerOptions(), name) is usual
