"""Container images made in memory: one layer, one platform, as an archive that containerd imports.

Owns the archive's layout. Used for the pause image and by tests; it neither reads nor pulls images.
Source: Docker image specification v1.2 (``manifest.json`` archives), OCI image configuration.
"""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass

_EPOCH = "1970-01-01T00:00:00Z"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class File:
    """One entry of the layer: content, or a symbolic link, or (with neither) a folder."""

    data: bytes | None = None
    link: str = ""
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What the image is called, holds, and runs."""

    name: str
    files: Mapping[str, File]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    user: str = ""
    working_dir: str = ""
    architecture: str = field(default_factory=lambda: goarch())


def goarch() -> str:
    """Return this machine's architecture as images and nodes name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def layer_tar(files: Mapping[str, File]) -> bytes:
    """Return the files as an uncompressed, reproducible layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files):
            entry = files[path]
            info = tarfile.TarInfo(path.lstrip("/"))
            info.mode = entry.mode
            if entry.link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                info.mode = entry.mode | 0o111
            else:
                info.size = len(entry.data)
            tar.addfile(info, io.BytesIO(entry.data) if entry.data is not None else None)
    return buffer.getvalue()


def image_tar(spec: ImageSpec) -> bytes:
    """Return the archive, ready for ``ctr images import -``."""
    layer = layer_tar(spec.files)
    config: dict[str, Any] = {
        "architecture": spec.architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": {"Env": list(spec.env)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": _EPOCH}],
    }
    optional = {
        "Entrypoint": list(spec.entrypoint),
        "Cmd": list(spec.command),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
    }
    config["config"].update({key: value for key, value in optional.items() if value})
    config_bytes = orjson.dumps(config)
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [spec.name], "Layers": ["layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (
            (config_name, config_bytes),
            ("layer.tar", layer),
            ("manifest.json", orjson.dumps(manifest)),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
