"""Files of variables, as cases."""

import os

import pytest

from tiphys.kubelet.kuberuntime.env_files import EnvFileFault, value_in
from tiphys.kubelet.volumes.payload import VolumeProblem
from tiphys.kubelet.volumes.subpath import read_below

VALUES = {
    # name: the file, the value of A
    "one": ("A='a'\n", "a"),
    "no line end": ("A='a'", "a"),
    "after others": ("# comment\n\n  \t\nB='b'\n\t A='a'\nA='later'", "a"),
    "as it is": ("A=' $B ${C} \\n # \"x\" = '", ' $B ${C} \\n # "x" = '),
    "several lines": ("A='one\n# two\n\n three'\nB='b'", "one\n# two\n\n three"),
    "of another after several lines": ("B='x\nA=y'\nA='a'", "a"),
    "empty": ("A=''", ""),
    "a blank before the quote": ("A= 'a'", ""),
    "a comment behind": ("A='a' # why", "a"),
    "a comment behind, at once": ("A='a'#why", "a"),
    "not there": ("B='b'", ""),
    "nothing": ("", ""),
    "a fault behind it": ("A='a'\nwhat", "a"),
}
FAULTS = {
    "no sign": ("B='b'\nwhat\nA='a'", "at line 2: missing '='"),
    "no name": ("='b'", "at line 1: empty variable name"),
    "a blank after the name": ("A ='a'", "at line 1: whitespace before '=' is not allowed"),
    "no quotes": ("A=a", "at line 1: value must be enclosed in single quotes"),
    "nothing at all": ("A=", "at line 1: value must be enclosed in single quotes"),
    "other quotes": ('A="a"', "at line 1: value must be enclosed in single quotes"),
    "two strings": ("B='x\ny''z'", "at line 2: unexpected content after closing quote"),
    "a name behind": ("A='a'$B", "at line 1: unexpected content after closing quote"),
    "never closed": ("\nA='a\nb", "starting at line 2: unclosed single quote"),
}


@pytest.mark.parametrize(("text", "value"), VALUES.values(), ids=VALUES)
def test_values(text, value):
    assert value_in(text, "A") == value


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_faults(text, fault):
    with pytest.raises(EnvFileFault) as raised:
        value_in(text, "A")
    assert str(raised.value) == f"invalid environment variable format {fault}"


def test_files_are_read_within_their_volume(tmp_path):
    volume = tmp_path / "volume"
    (volume / "in").mkdir(parents=True)
    (volume / "in" / "file").write_text("A='a'")
    (tmp_path / "secret").write_text("S='s'")
    (volume / "link").symlink_to(tmp_path / "secret")
    (volume / "out").symlink_to(tmp_path)
    os.mkfifo(volume / "pipe")
    assert read_below(volume, "in/file", 100) == "A='a'"
    for path in ("link", "out/secret", "pipe", "in", "none", "in/file/more"):
        assert read_below(volume, path, 100) is None, path
    for path in ("/etc/passwd", "../secret"):
        with pytest.raises(VolumeProblem, match="must not be absolute"):
            read_below(volume, path, 100)
    with pytest.raises(VolumeProblem, match="longer than 4 bytes"):
        read_below(volume, "in/file", 4)
