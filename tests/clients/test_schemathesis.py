"""Schemathesis over the published OpenAPI: whatever it sends, the server does not fail.

The tool is installed from PyPI by its lock file and makes requests, valid and invalid ones, from the document
of each group version. What answers for as long as one likes (watches, logs that are followed) is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.every_kind import ALL_SERVED

from tiphys.apis.table import TABLE
from tiphys.testing import Cluster

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent / "schemathesis"
STREAMS = ("/watch/", "/proxy", "/exec", "/attach", "/portforward")
ENDLESS = ("watch", "follow", "timeoutSeconds")


def documents() -> list[str]:
    """Name every document of ``/openapi/v3`` that has objects."""
    found = sorted({(row.group, row.version) for row in TABLE})
    return [f"apis/{group}/{version}" if group else f"api/{version}" for group, version in found]


@pytest.fixture(scope="module")
def installed(install: Callable[[Path], Path]) -> Path:
    return install(HERE / "requirements.lock")


def bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a document what may never end."""
    paths = document["paths"]
    document["paths"] = {path: item for path, item in paths.items() if not any(s in path for s in STREAMS)}
    for item in document["paths"].values():
        for part in [item, *(value for value in item.values() if isinstance(value, dict))]:
            if "parameters" in part:
                part["parameters"] = [one for one in part["parameters"] if one.get("name") not in ENDLESS]
    return document


def command(document: Path, cluster: Cluster) -> Iterator[str]:
    yield from (sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", cluster.url)
    yield from ("--header", f"Authorization: Bearer {cluster.token}", "--tls-verify", "false")
    yield from ("--checks", "not_a_server_error", "--phases", "fuzzing", "--max-examples", "5", "--seed", "1")
    yield from (
        "--suppress-health-check",
        "all",
        "--request-timeout",
        "20",
        "--warnings",
        "off",
        "--no-color",
    )


@pytest.mark.parametrize("name", documents())
async def test_nothing_fails(installed: Path, tmp_path: Path, name: str) -> None:
    alone = {"nodes": 0, "controllers": False, "scheduler": False}
    async with Cluster(**alone, listen=True, options=ALL_SERVED) as cluster:
        document = tmp_path / "document.json"
        document.write_text(json.dumps(bounded(await cluster.client.request("GET", f"/openapi/v3/{name}"))))
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        process = await asyncio.create_subprocess_exec(
            *command(document, cluster), env=environment, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(280):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said.decode()[-8000:]
        made = re.search(rb"(\d+) generated", said)
        assert made is not None
        assert int(made[1]) > len(json.loads(document.read_text())["paths"])
