"""For how long the API server waits for its store, as its flags say."""

from __future__ import annotations

import pytest

from tiphys.apiserver.options import ApiServerOptions
from tiphys.cmd.apiserver import apiserver
from tiphys.cmd.store_flags import store_options


@pytest.mark.parametrize(
    ("flag", "name", "usual_s"),
    [
        ("storage-initialization-timeout", "storage_initialization_s", 60.0),
        ("etcd-healthcheck-timeout", "store_check_s", 2.0),
        ("etcd-readycheck-timeout", "store_ready_check_s", 2.0),
    ],
)
def test_times(flag: str, name: str, usual_s: float) -> None:
    for line, wanted_s in (([], usual_s), ([f"--{flag}=1m30s"], 90.0)):
        with apiserver.make_context("apiserver", line) as context:
            assert store_options(context.params)[name] == wanted_s
    assert getattr(ApiServerOptions(), name) == usual_s


def test_a_check_without_time_has_the_usual_one() -> None:
    line = ["--etcd-healthcheck-timeout=0s", "--etcd-readycheck-timeout=0s"]
    with apiserver.make_context("apiserver", line) as context:
        found = store_options(context.params)
    assert (found["store_check_s"], found["store_ready_check_s"]) == (2.0, 2.0)
