"""Part of a volume: found and made without ever leaving it, whatever links lie there or come meanwhile."""

import os
import stat
from pathlib import Path

import pytest

from tiphys.kubelet.volumes import subpath
from tiphys.kubelet.volumes.payload import VolumeProblem


@pytest.fixture
def volume(tmp_path):
    made = tmp_path / "volume"
    made.mkdir(mode=0o2775)
    made.chmod(0o2775)
    (tmp_path / "secret").mkdir()
    return made


@pytest.fixture
def bound(monkeypatch):
    """What was mounted where, instead of mounting it."""
    found = []
    monkeypatch.setattr(subpath, "is_mount", lambda path: any(path == target for _, target in found))
    monkeypatch.setattr(
        subpath, "mount", lambda source, target, flags: found.append((Path(os.readlink(source)), target))
    )
    return found


def bind(volume, path):
    return subpath.bind_sub_path(volume, path, volume.parent / "pod" / "0")


def test_what_is_missing_is_made_as_the_folder_above(volume, bound):
    target = bind(volume, "a/./b//c")
    assert bound == [(volume / "a" / "b" / "c", target)]
    assert target.is_dir()
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((volume / folder).stat().st_mode) == 0o2775


@pytest.mark.parametrize(
    ("path", "link", "to", "want"),
    [
        ("data", "", "", "data"),
        (".", "", "", "."),
        ("link/x", "link", "data", "data/x"),
        ("link", "link", "data/not-yet", "data/not-yet"),
        ("data/back", "data/back", "..", "."),
        ("file", "", "", "file"),
        ("key", "key", "data/file", "data/file"),
    ],
    ids=["a folder", "the volume", "through a link", "a link to nothing", "a link up to the volume", "a file",
         "a link to a file"],
)  # fmt: skip
def test_links_may_stay_inside(volume, bound, path, link, to, want):
    (volume / "data").mkdir()
    for name in ("file", "data/file"):
        (volume / name).touch()
    if link:
        (volume / link).symlink_to(to)
    target = bind(volume, path)
    assert bound == [((volume / want).resolve(), target)]
    assert target.is_dir() is (volume / want).is_dir()


def test_a_volume_may_be_a_link_itself(volume, bound):
    link = volume.parent / "link"
    link.symlink_to(volume)
    bind(link, "a")
    assert bound[0][0] == volume / "a"


@pytest.mark.parametrize(
    ("path", "link", "to", "text"),
    [
        ("../secret", "", "", 'invalid SubPath "../secret": must not be absolute or contain ".."'),
        ("a/../../secret", "", "", 'invalid SubPath "a/../../secret": must not'),
        ("/etc", "", "", 'invalid SubPath "/etc": must not'),
        ("out", "out", "../secret", 'subpath "out" not within volume path'),
        ("out/new", "out", "../secret", 'subpath "out/new" not within volume path'),
        ("out/new", "out", "/", 'subpath "out/new" not within volume path'),
        ("out", "out", "../volume-2", 'subpath "out" not within volume path'),
        ("loop/x", "loop", "loop", 'subpath "loop/x" is a loop of links'),
    ],
)
def test_nothing_leaves_the_volume(volume, bound, path, link, to, text):
    (volume.parent / "volume-2").mkdir()
    if link:
        (volume / link).symlink_to(to)
    with pytest.raises(VolumeProblem) as raised:
        bind(volume, path)
    assert text in str(raised.value)
    assert bound == []
    assert not list((volume.parent / "secret").iterdir())
    assert not (volume.parent / "pod").exists()


@pytest.mark.parametrize("path", ["a", "a/new", "a/b/new"])
def test_a_link_that_is_swapped_in_meanwhile_leads_nowhere(volume, bound, monkeypatch, path):
    """A container puts a link where a folder was, after it was looked at and before it is opened."""
    (volume / "a").mkdir()
    secret, looked = volume.parent / "secret", Path.resolve

    def look(self, **rest):
        found = looked(self, **rest)
        if self == volume / path and not (volume / "a").is_symlink():
            (volume / "a").rename(volume / "old")
            (volume / "a").symlink_to(secret)
        return found

    monkeypatch.setattr(Path, "resolve", look)
    with pytest.raises((VolumeProblem, OSError)):
        bind(volume, path)
    assert bound == []
    assert not list(secret.iterdir()), "nothing is made outside"


def test_a_file_in_the_way_is_a_fault(volume, bound):
    (volume / "file").touch()
    with pytest.raises(NotADirectoryError):
        bind(volume, "file/x")


def test_no_handle_stays_open(volume, bound):
    before = sorted(os.listdir("/proc/self/fd"))
    bind(volume, "a/b")
    (volume / "out").symlink_to("/")
    with pytest.raises(VolumeProblem):
        subpath.bind_sub_path(volume, "out", volume.parent / "pod" / "1")
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_is_mounted_is_not_mounted_again(volume, bound):
    assert bind(volume, "a") == bind(volume, "a")
    assert len(bound) == 1
