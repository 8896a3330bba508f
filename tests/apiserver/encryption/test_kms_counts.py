"""What is counted of calls of KMS plugins."""

from __future__ import annotations

import contextlib

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.encryption.kms_client import KmsFailed
from tiphys.apiserver.encryption.kms_counts import KmsCounts


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, "OK"),
        (KmsFailed("rpc error: code = Unavailable desc = gone"), "Unavailable"),
        (KmsFailed("the plugin has answered nonsense"), "unknown-non-grpc"),
    ],
)
def test_codes(error: KmsFailed | None, code: str) -> None:
    counts = KmsCounts("p", FakeClock())
    with contextlib.suppress(KmsFailed), counts.timing("Encrypt"):
        if error is not None:
            raise error
    assert {key: sum(times.buckets) for key, times in counts.times.items()} == {("Encrypt", code): 1}
