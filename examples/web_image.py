#!/usr/bin/env python3
"""Build a small web server image without a registry: static busybox, which says the pod's name on port 80.

    .venv/bin/python examples/web_image.py web.tar && ./tiphys images import web.tar

needs Debian's busybox-static; the image is called ``example/web:1``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tiphys.kubelet.images.oci import File, ImageSpec, image_tar

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "httpd", "wget", "nslookup", "cat", "ls", "sleep", "hostname", "mkdir", "tar", "kill", "ps")
START = b"""#!/bin/sh
mkdir -p /www
echo "ahoy from $(hostname)" > /www/index.html
exec httpd -f -v -p 80 -h /www
"""


def image(name: str = "example/web:1") -> bytes:
    """Return the image as an archive."""
    files = {
        "bin/busybox": File(BUSYBOX.read_bytes(), mode=0o755),
        "start": File(START, mode=0o755),
        "etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\n"),
        "tmp": File(mode=0o1777),
    }
    for applet in APPLETS:
        files[f"bin/{applet}"] = File(link="/bin/busybox", mode=0o777)
    return image_tar(ImageSpec(name, files, command=["/start"]))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(image())
