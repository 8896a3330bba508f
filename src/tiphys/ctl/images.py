"""``tiphys images import``: an image archive into the containerd of every node of a cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiphys.ctl.layout import Cluster, CtlError

_TIMEOUT_S = 600


def import_archive(cluster: Cluster, archive: Path) -> list[str]:
    """Import into all nodes at once and return the images' names. Raises CtlError naming who failed."""
    if not archive.is_file():
        raise CtlError(f"no such file: {archive}")
    running = [
        (
            node,
            subprocess.Popen(
                ["ctr", "-a", str(node.containerd_socket), "-n", "k8s.io", "images", "import", str(archive)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ),
        )
        for node in cluster.nodes
    ]
    names: list[str] = []
    failures: list[str] = []
    for node, process in running:
        out, err = process.communicate(timeout=_TIMEOUT_S)
        if process.returncode:
            failures.append(f"node {node.name}: {err.strip()}")
        names += [line.split()[1] for line in out.splitlines() if line.startswith("unpacking ")]
    if failures:
        raise CtlError("import failed: " + "; ".join(failures))
    return sorted(set(names))
