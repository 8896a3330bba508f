"""``tiphys images import``: an image archive into the containerd of every node of a cluster.

Images go by their names and by ``name@digest`` afterwards, as pulled ones do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tiphys.ctl.layout import Cluster, CtlError, Node

_TIMEOUT_S = 600
_IMPORTED = re.compile(r"^unpacking (\S+) \((\w+:[0-9a-f]+)\)", re.MULTILINE)


def import_archive(cluster: Cluster, archive: Path) -> list[str]:
    """Import into all nodes at once and return the images' names. Raises CtlError naming who failed."""
    if not archive.is_file():
        raise CtlError(f"{archive}: {'not a file' if archive.exists() else 'no such file'}")
    stopped = [node.name for node in cluster.nodes if not node.containerd_socket.exists()]
    if stopped:
        raise CtlError(f"cluster {cluster.name!r} is not running: no containerd on {', '.join(stopped)}")
    said = _on_all(cluster.nodes, ["images", "import", str(archive)], f"cannot import {archive}")
    images = {name: digest for out in said for name, digest in imported(out).items()}
    for name, digest in images.items():
        if "@" not in name:
            more = by_digest(name, digest)
            _on_all(cluster.nodes, ["images", "tag", "--force", name, more], f"cannot name {name} by digest")
    return sorted(images)


def imported(said: str) -> dict[str, str]:
    """Return the images that ``ctr images import`` tells of: name to digest. Pure."""
    return dict(_IMPORTED.findall(said))


def by_digest(name: str, digest: str) -> str:
    """Return an image's name with a digest in place of its tag. Pure."""
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}@{digest}"


def _on_all(nodes: Sequence[Node], command: list[str], problem: str) -> list[str]:
    """Run ``ctr`` on all nodes at once and return what each said. Raises CtlError naming who failed."""
    running = [
        subprocess.Popen(
            ["ctr", "-a", str(node.containerd_socket), "-n", "k8s.io", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in nodes
    ]
    said: list[str] = []
    failures: dict[str, list[str]] = {}
    for node, process in zip(nodes, running, strict=True):
        try:
            out, err = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()[0], f"no answer within {_TIMEOUT_S} s"
        said.append(out)
        if process.returncode:
            failures.setdefault(err.strip(), []).append(node.name)
    if failures:
        told = "; ".join(f"{text} (on {', '.join(names)})" for text, names in failures.items())
        raise CtlError(f"{problem}: {told}")
    return said
