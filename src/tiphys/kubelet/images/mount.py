"""Image volumes: an image's files, mounted read-only on the node.

CRI of the containerd that nodes run cannot mount images, so its own tool is asked: for a read-only view of
the image's snapshot. The view needs no record of ours: containerd drops it a day after it was made, and what
is mounted stays until it is unmounted with the pod's other volumes.
Source: "Use an Image Volume With a Pod" (KEP-4639).
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

from tiphys.kubelet.runtime import Image, RuntimeFailure

_SNAPSHOTTER = re.compile(r"io\.containerd\.snapshotter\.v1\.([a-z0-9-]+)")
_TIMEOUT_S = 60.0


def snapshotter_of(image_folder: str) -> str:
    """Return whose files lie in a folder (as ``ImageFsInfo`` names it); "" for no known snapshotter's."""
    found = _SNAPSHOTTER.search(image_folder)
    return found[1] if found else ""


def mount_command(socket: Path, image: Image, snapshotter: str, target: Path) -> list[str]:
    """Return the command line. An image is known by name, or by digest."""
    name = next(iter((*image.tags, *image.digests)), image.id)
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "mount"]
    if snapshotter:
        command += ["--snapshotter", snapshotter]
    return [*command, name, str(target)]


async def mount_image(socket: Path, image: Image, snapshotter: str, target: Path) -> None:
    """Mount an image's files at ``target``. Raises RuntimeFailure, with the tool's words."""
    await asyncio.to_thread(target.mkdir, mode=0o755, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *mount_command(socket, image, snapshotter, target), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            said, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeFailure("UNKNOWN", f"failed to mount image: {said.decode(errors='replace').strip()}")
