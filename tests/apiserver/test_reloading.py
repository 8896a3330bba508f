"""Files that change while serving: how often they are looked at, and what is counted of it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.controlplane.identity import hash_of, identity_of
from tiphys.apiserver.reloading import Reloads, reload_all, reload_forever

SERVER = hash_of(identity_of(socket.gethostname()))
NAME = "apiserver_authorization_config_controller"


def sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def shown(reloads: Reloads) -> dict[tuple[str, ...], float]:
    """Return values by name and labels, the server's left out."""
    found = {}
    for family in reloads.collect():
        for sample in family.samples:
            labels = {**sample.labels}
            assert labels.pop("apiserver_id_hash") == SERVER
            found[sample.name.removeprefix(f"{NAME}_"), *labels.values()] = sample.value
    return found


def test_what_is_counted() -> None:
    clock = FakeClock()
    reloads = Reloads("authorization", clock)
    assert shown(reloads) == {}
    reloads.began("one")
    assert shown(reloads) == {("last_config_info", sha256("one")): 1}
    clock.advance(10)
    reloads.failed()
    failed_at = clock.now().timestamp()
    clock.advance(10)
    reloads.succeeded(b"two")
    assert shown(reloads) == {
        ("automatic_reloads_total", "success"): 1,
        ("automatic_reloads_total", "failure"): 1,
        ("automatic_reload_last_timestamp_seconds", "success"): clock.now().timestamp(),
        ("automatic_reload_last_timestamp_seconds", "failure"): failed_at,
        ("last_config_info", sha256("two")): 1,
    }


async def test_the_rhythm() -> None:
    await reload_forever([])
    looked, waited = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        waited.set()

    task = asyncio.create_task(reload_forever([looked.set, wait], every_s=0))
    async with asyncio.timeout(5):
        await looked.wait()
        await waited.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def shown_of(text: str, what: str) -> dict[str, float]:
    """Return how often a file was reloaded, by status; the first reading of authorizers is one of them."""
    name = f"apiserver_{what}_config_controller_automatic_reloads_total"
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return {line.partition('status="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


RBAC = "{type: RBAC, name: rbac}"


def authorization(*authorizers: str) -> str:
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"
    return head + "\n".join(f"- {one}" for one in authorizers)


def authentication(enabled: str) -> str:
    return (
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
        f"anonymous: {{enabled: {enabled}}}"
    )


async def test_what_the_server_tells(serving: Any, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("authentication", "authorization")}
    files["authentication"].write_text(authentication("true"))
    files["authorization"].write_text(authorization(RBAC))
    options = {f"{name}_config": path for name, path in files.items()}
    async with serving(**options) as api:
        server = api.server
        files["authentication"].write_text(authentication("false"))
        files["authorization"].write_text("nonsense")
        for _ in range(2):  # a faulty file is told of once
            await reload_all([server.backend.authenticator.reload, *server._reloads()])
        text = (await api("GET", "/metrics")).raw.decode()
        found = {name: shown_of(text, name) for name in files}
        assert found == {"authentication": {"success": 1}, "authorization": {"success": 1, "failure": 1}}
        for name, status in (("authentication", "success"), ("authorization", "failure")):
            family = f"apiserver_{name}_config_controller"
            labels = f'{{apiserver_id_hash="{SERVER}",status="{status}"}}'
            assert f"{family}_automatic_reloads_total{labels} 1\n" in text
            assert f"{family}_automatic_reload_last_timestamp_seconds{labels} " in text
        held = sha256(authorization(RBAC))
        assert f'_config_info{{apiserver_id_hash="{SERVER}",hash="{held}"}} 1\n' in text


async def test_without_files_nothing_is_told(api: Any) -> None:
    assert "_config_controller_" not in (await api("GET", "/metrics")).raw.decode()
