"""Webhooks on loopback for the admission tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest


def _load() -> Any:
    # Tests are imported by path, not as a package: this is how they share a module.
    name = "tiphys_test_webhook_server"
    if name not in sys.modules:
        path = Path(__file__).with_name("webhook_server.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def webhooks() -> Any:
    """The module that serves webhooks."""
    return _load()


@pytest.fixture
async def webhook(webhooks: Any) -> AsyncIterator[Any]:
    """A webhook at https://127.0.0.1."""
    async with webhooks.webhook_server() as server:
        yield server
