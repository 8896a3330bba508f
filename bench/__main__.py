"""``python -m bench [ROW...]``: run rows (all without a name), one JSON line each.

Each row starts what it needs on loopback. BENCH_URL, BENCH_TOKEN, BENCH_CA point the rows that only need an
API at any Kubernetes API instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import uvloop

from bench import binds, clusters, controllers, costs, load, memory, reads, stores, watches, writes

ROWS: list[Callable[[], AsyncIterator[dict[str, object]]]] = [
    reads.get_pod,
    reads.list_pods_500,
    reads.list_all_pods,
    writes.create_configmap,
    writes.create_pod,
    costs.write_costs,
    controllers.controller_costs,
    stores.commit_latency,
    watches.watch_fan_out,
    watches.idle_watches,
    binds.bind_1000_nodes,
    binds.bind_5000_nodes,
    binds.bind_anti_affinity,
    binds.bind_affinity,
    binds.bind_spread,
    memory.apiserver_memory,
    memory.memory_after_burst,
    clusters.test_cluster_ready,
    clusters.up_to_ready,
    clusters.create_to_running,
]
_LIMIT_S = 300.0


async def _run(row: Callable[[], AsyncIterator[dict[str, object]]]) -> bool:
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for line in row():
                load.show(line)
    except Exception as error:
        load.show({"row": row.__name__, "error": f"{type(error).__name__}: {error}"})
        return False
    return True


def main(names: list[str]) -> int:
    """Run the named rows; return 1 when one failed, 2 when a name is unknown."""
    known = {row.__name__: row for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such row: {unknown[0]}; rows: {' '.join(known)}", file=sys.stderr)
        return 2
    results = [uvloop.run(_run(known[name])) for name in names or known]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
