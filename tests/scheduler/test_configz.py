"""``/configz`` of a scheduler: a configuration with which another one works in the same way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tiphys.client.endpoint import EndpointOptions
from tiphys.cmd import scheduler as module
from tiphys.scheduler.config import Configuration, ProfileSettings, read_configuration
from tiphys.scheduler.scheduler import SchedulerOptions

DOCUMENT = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "podMaxBackoffSeconds": 60,
    "leaderElection": {"leaseDuration": "1m", "resourceName": "mine"},
    "profiles": [
        {"schedulerName": "a", "plugins": {"score": {"disabled": [{"name": "ImageLocality"}]}}},
        {"schedulerName": "b", "percentageOfNodesToScore": 30},
    ],
}


def shown(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[dict[str, Any], SchedulerOptions]:
    found: list[tuple[EndpointOptions, SchedulerOptions]] = []

    async def start(_reach: object, options: SchedulerOptions, endpoint: EndpointOptions) -> None:
        found.append((endpoint, options))

    monkeypatch.setattr(module, "collect_seldom", lambda: None)
    monkeypatch.setattr(module, "_run", start)
    monkeypatch.setattr(module, "run", asyncio.run)
    module.scheduler.main(["--kubeconfig=x", *words], standalone_mode=False)
    ((endpoint, options),) = found
    return dict(endpoint.configuration["kubescheduler.config.k8s.io"]), options


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = shown(monkeypatch, "--leader-elect=false", "--scheduler-name=mine")
    assert told == {
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": "x"},
        "leaderElection": {
            "leaderElect": False, "leaseDuration": "15s", "renewDeadline": "10s", "retryPeriod": "2s",
            "resourceLock": "leases", "resourceName": "kube-scheduler", "resourceNamespace": "kube-system",
        },
        "podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 10, "profiles": [{"schedulerName": "mine"}],
    }  # fmt: skip
    assert read_configuration(told).profiles == Configuration((ProfileSettings("mine"),)).profiles


def test_another_works_in_the_same_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given, again = tmp_path / "given.json", tmp_path / "again.json"
    given.write_bytes(orjson.dumps(DOCUMENT))
    told, options = shown(monkeypatch, f"--config={given}", "--leader-elect-retry-period=3s")
    assert (told["podMaxBackoffSeconds"], told["profiles"]) == (60, DOCUMENT["profiles"])
    assert told["leaderElection"]["leaseDuration"] == "1m0s"
    assert told["leaderElection"]["retryPeriod"] == "3s"
    again.write_bytes(orjson.dumps(told))
    told_again, same = shown(monkeypatch, f"--config={again}")
    assert told_again == told
    assert (same.settings().profiles, same.election) == (options.settings().profiles, options.election)
