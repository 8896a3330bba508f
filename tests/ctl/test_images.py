"""What ``ctr`` says of an import, and the names that follow from it. A ``ctr`` of our own plays it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl import images
from tiphys.ctl.images import by_digest, import_archive, imported
from tiphys.ctl.layout import Cluster, CtlError

DIGEST = "sha256:" + "ab" * 32
_CTR = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *" import "*) echo "unpacking docker.io/library/a:1 ({digest})...done";; esac
exit {code}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/library/a:1", f"docker.io/library/a@{DIGEST}"),
        ("localhost:5000/a/b:v1.2", f"localhost:5000/a/b@{DIGEST}"),
        ("registry.k8s.io/pause", f"registry.k8s.io/pause@{DIGEST}"),
    ],
)
def test_names_by_digest(name: str, expected: str) -> None:
    assert by_digest(name, DIGEST) == expected


def test_what_an_import_says() -> None:
    said = (
        f"unpacking a.example/x:1 ({DIGEST})...done\nunpacking b.example/y@{DIGEST} ({DIGEST})...done\nmore\n"
    )
    assert imported(said) == {"a.example/x:1": DIGEST, f"b.example/y@{DIGEST}": DIGEST}
    assert imported("") == {}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster("default", 0, tmp_path / "default", 2)
    for node in made.nodes:
        node.containerd_socket.parent.mkdir(parents=True)
        node.containerd_socket.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return made


def play(tmp_path: Path, code: int = 0) -> Path:
    """Put a ``ctr`` on the path; return where it notes how it was called."""
    log = tmp_path / "calls"
    ctr = tmp_path / "ctr"
    ctr.write_text(_CTR.format(log=log, digest=DIGEST, code=code))
    ctr.chmod(0o755)
    return log


def test_imported_images_go_by_digest_too(cluster: Cluster, tmp_path: Path) -> None:
    log = play(tmp_path)
    archive = tmp_path / "a.tar"
    archive.touch()
    assert import_archive(cluster, archive) == ["docker.io/library/a:1"]
    tagged = [line for line in log.read_text().splitlines() if " tag " in line]
    assert sorted(tagged) == [
        f"-a {node.containerd_socket} -n k8s.io images tag --force docker.io/library/a:1"
        f" docker.io/library/a@{DIGEST}"
        for node in cluster.nodes
    ]


def test_who_failed_is_said(cluster: Cluster, tmp_path: Path) -> None:
    play(tmp_path, code=1)
    archive = tmp_path / "a.tar"
    archive.touch()
    with pytest.raises(CtlError, match=r"cannot import .*a\.tar: .*\(on node-1, node-2\)"):
        import_archive(cluster, archive)
    with pytest.raises(CtlError, match="no such file"):
        import_archive(cluster, tmp_path / "none.tar")
    cluster.nodes[0].containerd_socket.unlink()
    with pytest.raises(CtlError, match="no containerd on node-1"):
        import_archive(cluster, archive)


def test_a_containerd_that_does_not_answer(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_TIMEOUT_S", 0.05)
    (tmp_path / "ctr").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ctr").chmod(0o755)
    archive = tmp_path / "a.tar"
    archive.touch()
    with pytest.raises(CtlError, match=r"no answer within 0.05 s \(on node-1, node-2\)"):
        import_archive(cluster, archive)
