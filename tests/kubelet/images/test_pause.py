"""The pause program really runs; images are archives that tools can read."""

import io
import json
import os
import platform
import signal
import struct
import subprocess
import tarfile

import pytest

from tiphys.kubelet.images.oci import File, ImageSpec, goarch, image_tar
from tiphys.kubelet.images.pause import PAUSE_IMAGE, pause_elf, pause_image


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_elf_header(architecture, machine):
    elf = pause_elf(architecture)
    assert elf[:4] == b"\x7fELF"
    kind, found = struct.unpack_from("<HH", elf, 16)
    assert (kind, found) == (2, machine)
    assert len(elf) < 1024


def test_unknown_architecture():
    with pytest.raises(ValueError, match="no pause program"):
        pause_elf("vax")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_sleeps_until_told_to_end(tmp_path, ending):
    assert platform.machine() in ("x86_64", "aarch64")
    path = tmp_path / "pause"
    path.write_bytes(pause_elf(goarch()))
    path.chmod(0o755)
    process = subprocess.Popen([path])
    try:
        process.send_signal(signal.SIGCHLD)
        # Only a program that waits without using the processor has no time to show.
        assert process.poll() is None
        # Other signals may be ignored too: a process inherits that from whoever started the tests.
        while not _signals(process.pid, "SigIgn") >> (signal.SIGCHLD - 1) & 1:
            os.sched_yield()
        while not _signals(process.pid, "SigCgt") >> (signal.SIGINT - 1) & 1:
            os.sched_yield()
        process.send_signal(ending)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def _status(pid):
    with open(f"/proc/{pid}/status") as file:
        return file.read()


def _signals(pid, mask):
    line = next(line for line in _status(pid).splitlines() if line.startswith(f"{mask}:"))
    return int(line.split()[1], 16)


def test_image_archive():
    spec = ImageSpec(
        "x.test/y:1",
        {"bin/a": File(b"data", mode=0o755), "bin/b": File(link="a"), "tmp": File()},
        command=["a"],
        user="5",
    )
    with tarfile.open(fileobj=io.BytesIO(image_tar(spec))) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        config = json.load(archive.extractfile(manifest[0]["Config"]))
        with tarfile.open(fileobj=archive.extractfile("layer.tar")) as layer:
            names = {item.name: item.type for item in layer}
    assert manifest[0]["RepoTags"] == ["x.test/y:1"]
    assert config["config"]["Cmd"] == ["a"]
    assert config["config"]["User"] == "5"
    assert names == {"bin/a": tarfile.REGTYPE, "bin/b": tarfile.SYMTYPE, "tmp": tarfile.DIRTYPE}
    assert image_tar(spec) == image_tar(spec)


def test_pause_image():
    with tarfile.open(fileobj=io.BytesIO(pause_image("amd64"))) as archive:
        assert json.load(archive.extractfile("manifest.json"))[0]["RepoTags"] == [PAUSE_IMAGE]
