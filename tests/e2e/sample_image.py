"""Images of programs that people bring to a cluster: a Python program with what it imports, and etcd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tiphys.kubelet.images.oci import File, ImageSpec, image_tar

SAMPLE = "tiphys.test/sample-apiserver:1"
WEBHOOK = "tiphys.test/sample-webhook:1"
VISITOR = "tiphys.test/sample-visitor:1"
ETCD = "tiphys.test/etcd:1"
_PROGRAMS = {SAMPLE: "sample_apiserver.py", WEBHOOK: "sample_webhook.py", VISITOR: "sample_visitor.py"}
_PYTHON = Path("/usr/bin/python3")
_WHAT_IT_IMPORTS = """
import importlib.util, json, sys
import encodings.idna, encodings.latin_1, encodings.ascii
spec = importlib.util.spec_from_file_location("program", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["program"] = module
spec.loader.exec_module(module)
import runpy
named = {getattr(one, "__file__", None) for one in list(sys.modules.values())}
print(json.dumps(sorted(named - {None})))
"""


def sample_image(name: str) -> bytes:
    """Return an archive with Debian's Python, a program, and the modules and libraries that it loads."""
    program = Path(__file__).with_name(_PROGRAMS[name])
    # Python of Debian by its own path: one of a virtual environment brings half a home folder.
    binary = _PYTHON.resolve()
    listing = subprocess.run(
        [binary, "-I", "-S", "-B", "-c", _WHAT_IT_IMPORTS, program],
        capture_output=True,
        check=True,
        text=True,
    )
    files = {str(binary): binary, **_libraries(binary)}
    for path in json.loads(listing.stdout):
        if Path(path) != program:
            files[path] = Path(path)
            files |= _libraries(Path(path)) if path.endswith(".so") else {}
    layer = {path.lstrip("/"): File(source.read_bytes(), mode=0o755) for path, source in files.items()}
    layer["app/main.py"] = File(program.read_bytes())
    layer["etc/passwd"] = File(b"root:x:0:0:root:/root:/bin/sh\n")
    layer["etc/nsswitch.conf"] = File(b"hosts: files dns\n")
    layer["tmp"] = File(mode=0o1777)
    entry = [str(binary), "-I", "-S", "-B", "-u", "/app/main.py"]
    return image_tar(ImageSpec(name, layer, entrypoint=entry))


def etcd_image() -> bytes:
    """Return an archive with the machine's etcd."""
    binary = Path(shutil.which("etcd") or "/usr/bin/etcd")
    files = {path.lstrip("/"): File(at.read_bytes(), mode=0o755) for path, at in _libraries(binary).items()}
    files["usr/local/bin/etcd"] = File(binary.read_bytes(), mode=0o755)
    files["tmp"] = File(mode=0o1777)
    return image_tar(ImageSpec(ETCD, files, command=["/usr/local/bin/etcd"], working_dir="/tmp"))


def _libraries(binary: Path) -> dict[str, Path]:
    """Return what the loader needs for a program, by the paths it looks at."""
    said = subprocess.run(["ldd", binary], capture_output=True, check=True, text=True).stdout
    words = (word for line in said.splitlines() for word in line.split() if word.startswith("/"))
    return {word: Path(os.path.realpath(word)) for word in words}
