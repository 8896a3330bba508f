"""A server whose requests leave events, at the level that its policy has for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.every_kind import ALL_SERVED

from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions

RULES: list[dict[str, Any]] = [
    {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
    {"level": "Request", "resources": [{"group": "", "resources": ["configmaps"]}],
     "namespaces": ["kube-public"]},
    {"level": "RequestResponse", "resources": [{"group": "", "resources": ["configmaps"]}],
     "omitManagedFields": True},
    {"level": "None", "nonResourceURLs": ["/livez"]},
    {"level": "RequestResponse", "nonResourceURLs": ["/api*", "/version", "/readyz", "/nowhere"]},
    {"level": "Request", "resources": [{"group": "", "resources": ["pods"]}]},
    {"level": "Metadata"},
]  # fmt: skip
Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def audited(
    tmp_path: Path, serving: Any, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Any, Events]]:
    policy, path = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": RULES}))

    def events() -> list[dict[str, Any]]:
        """Return the events since the last time."""
        text = path.read_bytes() if path.exists() else b""
        found = [orjson.loads(line) for line in text.splitlines()]
        new = found[len(seen) :]
        seen.extend(new)
        return new

    seen: list[dict[str, Any]] = []
    every: dict[str, Any] = ALL_SERVED if request.node.get_closest_marker("every_version") else {}
    async with serving(audit=AuditOptions(policy, LogOptions(str(path))), **every) as api:
        yield api, events
