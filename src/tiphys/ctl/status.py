"""``tiphys status``: which clusters there are, which of their processes run, which nodes are Ready."""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import get_condition
from tiphys.client.kinds import NODES
from tiphys.client.kubeconfig import ConfigError
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.ctl import supervisor
from tiphys.ctl.layout import Cluster


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


async def node_states(cluster: Cluster) -> dict[str, str]:
    """Return every node's name and ``Ready``, ``NotReady`` or ``Unknown``; empty without an answer."""
    try:
        client = Client.from_kubeconfig(cluster.kubeconfig)
    except ConfigError:  # not written yet, or damaged: the processes can be told of all the same
        return {}
    try:
        found = await client.list(NODES)
    except (StatusError, TransportError):
        return {}
    finally:
        await client.close()
    states = {}
    for node in found.get("items") or ():
        condition = get_condition(node, "Ready") or {}
        word = {"True": "Ready", "False": "NotReady"}.get(condition.get("status", ""), "Unknown")
        states[node["metadata"]["name"]] = word
    return states


def gather(cluster: Cluster) -> dict[str, Any]:
    """Return the state of one cluster's processes; ``running`` says whether it has a supervisor."""
    answer = supervisor.ask(cluster, "status")
    return {
        "name": cluster.name,
        "running": answer is not None,
        "api": cluster.api_url,
        "kubeconfig": str(cluster.kubeconfig),
        "components": (answer or {}).get("components", []),
    }


def render(facts: dict[str, Any], nodes: dict[str, str]) -> str:
    """Write a cluster's state for people."""
    lines = [f"cluster {facts['name']}: {'running' if facts['running'] else 'stopped'}"]
    if not facts["running"]:
        return f"{lines[0]} ('tiphys up --name {facts['name']}' brings it back)\n"
    lines += [f"  API         {facts['api']}", f"  kubeconfig  {facts['kubeconfig']}", "", "  NODES"]
    lines += [f"    {name:<28} {word}" for name, word in sorted(nodes.items())] or [
        "    (none, or the API does not answer)"
    ]
    lines += ["", f"  {'PROCESSES':<30} {'PID':>8} {'UP':>6} {'RESTARTS':>9}"]
    for row in facts["components"]:
        pid = row["pid"] or "-"
        lines.append(f"    {row['name']:<28} {pid:>8} {_duration(row['up_s']):>6} {row['restarts']:>9}")
    return "\n".join(lines) + "\n"
