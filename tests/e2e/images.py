"""Images that tests prepare for themselves from this machine's static busybox: nothing is pulled."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiphys.kubelet.images.oci import File, ImageSpec, image_tar

BUSYBOX = "tiphys.test/busybox:1"
ENTRY = "tiphys.test/entry:1"
DATA = "tiphys.test/data:1"
STATIC = "tiphys.test/static:1"
NAMED = "tiphys.test/named:1"
_BINARY = Path("/bin/busybox")


def busybox_image(name: str = BUSYBOX, *, user: str = "") -> bytes:
    """Return an archive with busybox, a link for each of its applets, and the usual folders."""
    listing = subprocess.run([_BINARY, "--list"], capture_output=True, check=True, text=True)
    files = {
        "bin/busybox": File(_BINARY.read_bytes(), mode=0o755),
        "etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        "etc/group": File(b"root:x:0:\nnogroup:x:65534:\n"),
        "etc/nsswitch.conf": File(b"hosts: files dns\n"),
        "tmp": File(mode=0o1777),
        "root": File(mode=0o700),
        "usr": File(mode=0o755),
        "var": File(mode=0o755),
    }
    for applet in listing.stdout.split():
        if applet != "busybox":
            files[f"bin/{applet}"] = File(link="/bin/busybox", mode=0o777)
    return image_tar(ImageSpec(name, files, command=["sh"], user=user))


def web_image(version: int) -> bytes:
    """Return an archive of a web server that tells its version and its pod's name, and ends when asked."""
    page = f"echo v{version} $(hostname) >/tmp/index.html"
    serve = f"{page}; trap 'exit 0' TERM; httpd -f -vv -p 80 -h /tmp & wait"
    files = {
        "bin/busybox": File(_BINARY.read_bytes(), mode=0o755),
        **{
            f"bin/{applet}": File(link="/bin/busybox", mode=0o777)
            for applet in ("sh", "httpd", "hostname", "wget", "cat", "echo", "tar", "ls", "sleep", "nslookup")
        },
        "tmp": File(mode=0o1777),
        "root": File(mode=0o700),
    }
    return image_tar(ImageSpec(f"tiphys.test/web:{version}", files, command=["sh", "-c", serve]))


def entry_image() -> bytes:
    """Return an archive of an image with an entry point and arguments of its own."""
    files = {
        "bin/busybox": File(_BINARY.read_bytes(), mode=0o755),
        "bin/echo": File(link="/bin/busybox", mode=0o777),
    }
    return image_tar(ImageSpec(ENTRY, files, entrypoint=["echo", "entry"], command=["default"]))


def static_image() -> bytes:
    """Return an archive with one program and nothing else: no users, a folder to be made at its start."""
    files = {"app/sh": File(_BINARY.read_bytes(), mode=0o755)}
    entry = ["/app/sh", "-c"]
    return image_tar(
        ImageSpec(
            STATIC, files, entrypoint=entry, command=["id; pwd"], user="65532", working_dir="/not/there"
        )
    )


def named_image() -> bytes:
    """Return an archive whose user goes by name and is in two groups."""
    files = {
        "bin/busybox": File(_BINARY.read_bytes(), mode=0o755),
        "bin/id": File(link="/bin/busybox", mode=0o777),
        "etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:44::/:/bin/sh\n"),
        "etc/group": File(b"root:x:0:\nwww:x:44:\nextra:x:77:www\n"),
    }
    return image_tar(ImageSpec(NAMED, files, entrypoint=["id"], user="www"))


def data_image(name: str = DATA) -> bytes:
    """Return an archive with nothing to run: files for an image volume."""
    files = {"data.json": File(b'{"kitten": true}\n'), "etc/os-release": File(b"NAME=data\n")}
    return image_tar(ImageSpec(name, files))
