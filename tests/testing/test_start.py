"""What the first cluster of a process does without, so that it is there soon."""

import json
import subprocess
import sys

SPARED = ("numpy", "yaml", "prometheus_client", "difflib", "tiphys.scheduler.scheduler", "grpc", "aiohttp")
STORY = """
import asyncio, json, sys
from tiphys.client.kinds import PODS
from tiphys.testing import Cluster

META = {"name": "p", "namespace": "default"}
POD = {"metadata": META, "spec": {"containers": [{"name": "c", "image": "i"}]}}

async def main():
    async with Cluster(nodes=1) as cluster:
        first = sorted(sys.modules)
        await cluster.client.create(PODS, POD)
        placed = await cluster.wait_for(PODS, "p", "default", lambda pod: bool(pod["spec"].get("nodeName")))
    print(json.dumps([first, placed["spec"]["nodeName"], "numpy" in sys.modules]))

asyncio.run(main())
"""


def test_a_cluster_without_pods_needs_no_scheduler() -> None:
    told = subprocess.run([sys.executable, "-c", STORY], check=True, capture_output=True, timeout=120)
    loaded, node, counts = json.loads(told.stdout)
    assert [name for name in SPARED if name in loaded] == []
    assert (node, counts) == ("node-1", True)
