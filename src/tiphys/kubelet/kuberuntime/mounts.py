"""What a container sees mounted: its volumes, ``/etc/hosts`` and the file for its last words.

Owns the pod's own files besides volumes. Blocking; callers use a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiphys.kubelet.kuberuntime.containers import DEFAULT_TERMINATION_PATH
from tiphys.kubelet.kuberuntime.env import expand, references
from tiphys.kubelet.runtime import Config
from tiphys.kubelet.volumes.manager import Mounted
from tiphys.kubelet.volumes.payload import VolumeProblem
from tiphys.kubelet.volumes.subpath import bind_sub_path, check_sub_path

log = logging.getLogger(__name__)

_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}
_HOSTS = "/etc/hosts"


def termination_file(pod_dir: Path, name: str, attempt: int) -> Path:
    """Return where a container's termination message lies on the node."""
    return pod_dir / "containers" / name / f"{attempt}.message"


def hosts_path(pod_dir: Path) -> Path:
    """Return the node's file behind the pod's ``/etc/hosts``."""
    return pod_dir / "etc-hosts"


def container_mounts(
    container: Mapping[str, Any],
    volumes: Mapping[str, Mounted],
    env: Mapping[str, str],
    pod_dir: Path,
    attempt: int,
) -> list[Config]:
    """Make the files and return CRI's mounts. Raises VolumeProblem, OSError."""
    mounts = []
    name = container["name"]
    for index, item in enumerate(container.get("volumeMounts") or ()):
        volume = volumes.get(item["name"])
        if volume is None:
            raise VolumeProblem(f'cannot find volume "{item["name"]}" to mount into container "{name}"')
        path = volume.path
        sub_path = item.get("subPath") or ""
        if item.get("subPathExpr"):
            sub_path = _expand_strict(item["subPathExpr"], env)
        if sub_path:
            target = pod_dir / "volume-subpaths" / item["name"] / name / str(index)
            check_sub_path(sub_path)
            try:
                path = bind_sub_path(path, sub_path, target)
            except (VolumeProblem, OSError) as error:
                # The details name paths of the node: they are for its log, not for who made the pod.
                log.warning("subPath %r of volume mount %s of %s: %s", sub_path, item["name"], name, error)
                what = f'volumeMount "{item["name"]}" of container "{name}"'
                raise VolumeProblem(f"failed to prepare subPath for {what}") from error
        mounts.append(
            {
                "container_path": item["mountPath"]
                if item["mountPath"].startswith("/")
                else f"/{item['mountPath']}",
                "host_path": str(path),
                "readonly": bool(item.get("readOnly")) or volume.read_only,
                "propagation": _PROPAGATION[item.get("mountPropagation") or "None"],
            }
        )
    taken = {mount["container_path"] for mount in mounts}
    if _HOSTS not in taken and hosts_path(pod_dir).exists():
        mounts.append({"container_path": _HOSTS, "host_path": str(hosts_path(pod_dir)), "readonly": False})
    message_path = container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH
    file = termination_file(pod_dir, name, attempt)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    # Any user of the container may write it.
    file.chmod(0o666)
    mounts.append({"container_path": message_path, "host_path": str(file), "readonly": False})
    return mounts


def _expand_strict(expression: str, env: Mapping[str, str]) -> str:
    """Unlike in commands, a name that is unknown or stands for nothing is a mistake here."""
    missing = sorted({name for name in references(expression) if not env.get(name)})
    if missing:
        raise VolumeProblem(f"missing value for {', '.join(missing)}")
    return expand(expression, env)


def write_hosts(pod_dir: Path, text: str) -> None:
    """Write the pod's hosts file in place, as it may be mounted already."""
    pod_dir.mkdir(parents=True, exist_ok=True)
    hosts_path(pod_dir).write_text(text)
    hosts_path(pod_dir).chmod(0o644)
