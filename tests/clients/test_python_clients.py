"""Python clients that are not the official one, against a cluster: installed from PyPI by their lock file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.every_kind import ALL_SERVED

from tiphys.testing import Cluster

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent / "python"
MANIFESTS = Path(__file__).parents[1] / "integration" / "manifests.yaml"
STORIES = {
    "asyncio": ["typed", "watched", "dynamically", "elected"],
    "cloudcoil": ["every_kind", "changes", "waits", "watches"],
    "lightkube": ["typed", "applied", "waits", "pages", "generic"],
    "pykube": ["objects", "deployments", "watches"],
}


@pytest.fixture(scope="module")
def installed(install: Callable[[Path], Path]) -> Path:
    return install(HERE / "requirements.lock")


@pytest.mark.parametrize("name", STORIES)
async def test_story(installed: Path, name: str) -> None:
    async with Cluster(nodes=2, listen=True, options=ALL_SERVED) as cluster:
        environment = {**os.environ, "PYTHONPATH": str(installed), "KUBECONFIG": str(cluster.kubeconfig)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", str(HERE / f"{name}_story.py"), str(MANIFESTS), env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(240):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said.decode()
        assert json.loads(said.splitlines()[-1]) == STORIES[name]
