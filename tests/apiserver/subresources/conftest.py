"""For tests of subresources: a kubelet to stream from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.apiserver.subresources.streaming_kubelet import Kubelet, kubelet_of


@pytest.fixture
async def kubelet(api: Any, make_pod: Any) -> AsyncIterator[Kubelet]:
    async with kubelet_of(api, make_pod) as own:
        yield own
