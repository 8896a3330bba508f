"""The process that keeps a pod's namespaces open, assembled here so that no registry is needed.

Owns a static ELF for x86_64 and aarch64 of a few hundred bytes: children that die are reaped by the
kernel (SIGCHLD ignored), TERM and INT end it, otherwise it sleeps for good.
Source: ELF-64 object file format; ``rt_sigaction(2)``; Linux syscall tables.
"""

from __future__ import annotations

import struct

from tiphys.kubelet.images.oci import File, ImageSpec, goarch, image_tar

PAUSE_IMAGE = "tiphys.local/pause:1"

_BASE = 0x400000
_HEADERS = 64 + 56
_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SA_RESTORER = 0x04000000
_SIG_IGN = 1


def _action(handler: int, restorer: int) -> bytes:
    """Return a kernel ``struct sigaction``; without a restorer x86_64 delivers no signal."""
    flags = _SA_RESTORER if restorer else 0
    return struct.pack("<QQQQ", handler, flags, restorer, 0)


def _x86_64() -> bytes:
    def sigaction(signal: int, action: int) -> bytes:
        return (
            b"\xb8" + struct.pack("<I", 13)  # mov eax, rt_sigaction
            + b"\xbf" + struct.pack("<I", signal)  # mov edi, signal
            + b"\xbe" + struct.pack("<I", action)  # mov esi, action
            + b"\x31\xd2"  # xor edx, edx
            + b"\x41\xba" + struct.pack("<I", 8)  # mov r10d, size of the mask
            + b"\x0f\x05"  # syscall
        )  # fmt: skip

    sleep = b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05" + b"\xeb\xf7"  # pause, and again
    leave = b"\xb8" + struct.pack("<I", 231) + b"\x31\xff" + b"\x0f\x05"  # exit_group(0)
    calls = 3 * len(sigaction(0, 0))
    handler = _BASE + _HEADERS + calls + len(sleep)
    ignore = handler + len(leave)
    ending = ignore + 32
    code = sigaction(_SIGCHLD, ignore) + sigaction(_SIGTERM, ending) + sigaction(_SIGINT, ending)
    return code + sleep + leave + _action(_SIG_IGN, 0) + _action(handler, handler)


def _aarch64() -> bytes:
    def load(register: int, value: int) -> bytes:
        low = 0xD2800000 | (value & 0xFFFF) << 5 | register  # movz
        high = 0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register  # movk, lsl 16
        return struct.pack("<II", low, high)

    svc = struct.pack("<I", 0xD4000001)

    def sigaction(signal: int, action: int) -> bytes:
        return load(0, signal) + load(1, action) + load(2, 0) + load(3, 8) + load(8, 134) + svc

    sleep = load(0, 0) + load(1, 0) + load(2, 0) + load(3, 0) + load(4, 0) + load(8, 73) + svc  # ppoll
    sleep += struct.pack("<I", 0x14000000 | (-len(sleep) // 4 & 0x3FFFFFF))  # back to its start
    leave = load(0, 0) + load(8, 94) + svc  # exit_group(0)
    handler = _BASE + _HEADERS + 3 * len(sigaction(0, 0)) + len(sleep)
    ignore = handler + len(leave)
    ending = ignore + 32
    code = sigaction(_SIGCHLD, ignore) + sigaction(_SIGTERM, ending) + sigaction(_SIGINT, ending)
    return code + sleep + leave + _action(_SIG_IGN, 0) + _action(handler, 0)


_MACHINES = {"amd64": (62, _x86_64), "arm64": (183, _aarch64)}


def pause_elf(architecture: str) -> bytes:
    """Return the executable. Raises ValueError for an architecture other than amd64 and arm64."""
    if architecture not in _MACHINES:
        raise ValueError(f"no pause program for architecture {architecture!r}")
    machine, assemble = _MACHINES[architecture]
    code = assemble()
    size = _HEADERS + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


def pause_image(architecture: str = "", name: str = PAUSE_IMAGE) -> bytes:
    """Return the pause image's archive for ``ctr -n k8s.io images import -``."""
    architecture = architecture or goarch()
    files = {"pause": File(pause_elf(architecture), mode=0o755)}
    return image_tar(ImageSpec(name, files, entrypoint=["/pause"], architecture=architecture, env=()))
