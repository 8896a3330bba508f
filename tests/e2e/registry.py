"""Debian's ``docker-registry`` with a password, on the address where a cluster's nodes see the machine."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cluster import RunningCluster, eventually

USER, PASSWORD = "sailor", "ahoy-there"  # of a registry that lives for one test


@contextlib.contextmanager
def registry(cluster: RunningCluster, folder: Path, *, secured: bool) -> Iterator[str]:
    """Run a registry; yield ``host:port``. Nodes are told that it speaks plain HTTP."""
    with socket.socket() as probe:
        probe.bind((cluster.host_ip, 0))
        address = f"{cluster.host_ip}:{probe.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": address},
    }
    if secured:
        (folder / "users").write_text(f"{USER}:{_bcrypt(PASSWORD)}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(config))
    for node in (cluster.folder / "nodes").iterdir():
        hosts = node / "registry" / address / "hosts.toml"
        hosts.parent.mkdir(parents=True)
        hosts.write_text(
            f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n'
        )
    with (folder / "log").open("wb") as log:
        argv = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        eventually(lambda: _listens(address), 20)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def push(cluster: RunningCluster, source: str, target: str) -> None:
    """Push an image that node-1 has, under another name."""
    ctr = [
        "ctr",
        "-a",
        str(cluster.folder / "nodes" / "node-1" / "containerd.sock"),
        "-n",
        "k8s.io",
        "images",
    ]
    user = ["--user", f"{USER}:{PASSWORD}"]
    for argv in (["tag", source, target], ["push", "--plain-http", *user, target], ["rm", target]):
        done = subprocess.run([*ctr, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _bcrypt(password: str) -> str:
    """Perl is part of every Debian, and knows the C library's crypt."""
    script = 'print crypt($ARGV[0], q($2b$05$) . "abcdefghijklmnopqrstuu")'
    return subprocess.run(["perl", "-e", script, password], capture_output=True, text=True, check=True).stdout
