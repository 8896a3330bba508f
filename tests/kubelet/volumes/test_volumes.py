"""What volumes contain, and folders that change at once."""

import os

import pytest
from pods import container, pod

from tiphys.kubelet.kuberuntime.downward import NodeFacts, PodAddresses
from tiphys.kubelet.volumes.atomic import Payload, write_payload
from tiphys.kubelet.volumes.hostpath import prepare_host_path
from tiphys.kubelet.volumes.ownership import give_to_group
from tiphys.kubelet.volumes.payload import Sources, VolumeProblem, references, volume_files
from tiphys.kubelet.volumes.subpath import check_sub_path

SOURCES = Sources(
    config_map={"cm": {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Aw=="}}}.get,
    secret={"s": {"data": {"k": "dg=="}}}.get,
    addresses=PodAddresses(),
    node=NodeFacts(),
    token=lambda audience, seconds: f"{audience}/{seconds}".encode(),
)


def files(volume, the_pod=None):
    return volume_files(the_pod or pod(), {"name": "v", **volume}, SOURCES)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param(
            {"configMap": {"name": "cm"}},
            {"a": Payload(b"1"), "b": Payload(b"2"), "c": Payload(b"\x03")},
            id="all keys",
        ),
        pytest.param(
            {"configMap": {"name": "cm", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y"}]}},
            {"x/y": Payload(b"1", 0o400)},
            id="items",
        ),
        pytest.param(
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "x", "mode": 0o600}]}},
            {"x": Payload(b"1", 0o600)},
            id="own mode",
        ),
        pytest.param({"configMap": {"name": "no", "optional": True}}, {}, id="optional"),
        pytest.param(
            {"configMap": {"name": "cm", "optional": True, "items": [{"key": "no", "path": "x"}]}},
            {},
            id="optional key",
        ),
        pytest.param({"secret": {"secretName": "s"}}, {"k": Payload(b"v")}, id="secret"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"n": Payload(b"p")},
            id="downward",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
                        {"secret": {"name": "s"}},
                        {"serviceAccountToken": {"path": "t", "audience": "x", "expirationSeconds": 700}},
                    ]
                }
            },
            {"a": Payload(b"1"), "k": Payload(b"v"), "t": Payload(b"x/700")},
            id="projected",
        ),
        pytest.param({"emptyDir": {}}, None, id="not made of objects"),
    ],
)
def test_content(volume, expected):
    assert files(volume) == expected


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "z", "path": "x"}]}},
            "references non-existent config key: z",
        ),
    ],
)
def test_missing(volume, message):
    with pytest.raises(VolumeProblem) as caught:
        files(volume)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("context", "own", "expected"),
    [
        ({}, {}, Payload(b"/3600")),
        ({"fsGroup": 5}, {}, Payload(b"/3600", 0o600)),
        ({}, {"runAsUser": 7}, Payload(b"/3600", 0o600, 7)),
    ],
)
def test_tokens_are_for_their_user(context, own, expected):
    the_pod = pod(container(securityContext=own), securityContext=context)
    volume = {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    assert files(volume, the_pod) == {"t": expected}


def test_references():
    volumes = [
        {"name": "a", "configMap": {"name": "cm"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "cm2"}}]}},
        {"name": "c", "secret": {"secretName": "s2"}},
    ]
    assert references(pod(volumes=volumes)) == ({"cm", "cm2"}, {"s", "s2"})


def test_update_is_one_link(tmp_path):
    assert write_payload(tmp_path, {"a": Payload(b"1"), "d/b": Payload(b"2", 0o600)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "d" / "b").stat().st_mode & 0o777 == 0o600
    first = os.readlink(tmp_path / "..data")
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert not write_payload(tmp_path, {"a": Payload(b"1"), "d/b": Payload(b"2", 0o600)})
    assert write_payload(tmp_path, {"a": Payload(b"3")})
    assert os.readlink(tmp_path / "..data") != first
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a"]
    assert not (tmp_path / first).exists()


@pytest.mark.parametrize("name", ["/a", "../a", "a/../b", "..a", ""])
def test_paths_stay_inside(tmp_path, name):
    with pytest.raises(ValueError, match="invalid path"):
        write_payload(tmp_path, {name: Payload(b"")})


@pytest.mark.parametrize("path", ["/a", "..", "a/../../b"])
def test_sub_paths_stay_inside(path):
    with pytest.raises(VolumeProblem):
        check_sub_path(path)


def test_host_paths(tmp_path):
    file = tmp_path / "f"
    assert prepare_host_path(file, "FileOrCreate").is_file()
    assert prepare_host_path(tmp_path / "d", "DirectoryOrCreate").is_dir()
    assert prepare_host_path(tmp_path / "none", "") == tmp_path / "none"
    for path, kind, words in (
        (file, "Directory", "is not a directory"),
        (tmp_path / "none", "File", "is not a file"),
        (file, "Socket", "is not a socket file"),
        (file, "BlockDevice", "is not a block device"),
        (file, "CharDevice", "is not a character device"),
    ):
        with pytest.raises(VolumeProblem, match=words):
            prepare_host_path(path, kind)


def test_group_ownership(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "d" / "f").chmod(0o600)
    (tmp_path / "l").symlink_to("d/f")
    give_to_group(tmp_path, os.getgid())
    assert (tmp_path / "d" / "f").stat().st_mode & 0o777 == 0o660
    assert (tmp_path / "d").stat().st_mode & 0o2070 == 0o2070
