"""Tables of pods that run to their end together: all are created, all are awaited, then each is judged alone.

One pod takes about a second of a node, mostly waiting; a hundred of them take little longer than ten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster import RunningCluster, eventually
from manifests import Object

Facts = dict[str, Any]
_DEADLINE_S = 300
_LINE = re.compile(r"^\[pod/([^/]+)/([^\]]+)\] ?(.*)$")


@dataclass(frozen=True)
class Case:
    """A pod, and what its container ``main`` must have said when it has ended."""

    pod: Object
    says: str | Callable[[Object, Facts], str]
    """The log, or what makes it of the pod and of its node."""
    phase: str = "Succeeded"
    of_interest: Callable[[str], str] = str
    """Picks what is compared out of the log."""
    unended: bool = False
    """The log's last line has no end: it must be read by itself."""

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


class Table:
    """The pods of a namespace of their own, run to their end."""

    def __init__(self, cluster: RunningCluster, name: str, objects: Sequence[Object], cases: Sequence[Case]):
        self.cluster = replace(cluster, namespace=name)
        self.cases = {case.name: case for case in cases}
        self.cluster.kubectl("create", "namespace", name)
        if objects:
            self.cluster.apply(*objects)
        for case in cases:
            if not case.unended:
                case.pod["metadata"]["labels"] = {"table": name}
        self.cluster.apply(*(case.pod for case in cases))
        self.pods = eventually(self._ended, _DEADLINE_S)
        self.nodes = {item["metadata"]["name"]: item for item in self.cluster.json("get", "nodes")["items"]}
        every = ("-l", f"table={name}", "--prefix", "--tail=-1", "-c", "main")
        # Some never come to ``main``; those are errors of their own lines.
        said = self.cluster.kubectl("logs", *every, "--max-log-requests=200", "--ignore-errors")
        self.logs: dict[str, str] = dict.fromkeys(self.cases, "")
        for case in cases:
            if case.unended:
                self.logs[case.name] = self.cluster.kubectl("logs", case.name)
        for line in said.splitlines():
            if match := _LINE.match(line):
                self.logs[match[1]] += f"{match[3]}\n"

    def _ended(self) -> dict[str, Object]:
        pods = {item["metadata"]["name"]: item for item in self.cluster.json("get", "pods")["items"]}
        open_ = {
            name: json.dumps(pod["status"].get("containerStatuses"))
            for name, pod in pods.items()
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        }
        assert not open_, f"not ended: {open_}"
        return pods

    def check(self, name: str) -> None:
        """Compare one pod's end with what its case says."""
        case, pod = self.cases[name], self.pods[name]
        node = self.nodes[pod["spec"]["nodeName"]]
        wanted = case.says(pod, node) if callable(case.says) else case.says
        assert case.of_interest(self.logs[name]) == wanted
        assert pod["status"]["phase"] == case.phase, pod["status"]

    def end(self) -> None:
        self.cluster.try_kubectl("delete", "namespace", self.cluster.namespace, "--wait=false")
