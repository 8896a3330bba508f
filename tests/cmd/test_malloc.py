"""Memory after a burst, in a process of its own: what an allocator has learnt cannot be unlearnt."""

import ctypes
import subprocess
import sys

import pytest

from tiphys.cmd import malloc

BURSTS = """
import sys
from pathlib import Path
if sys.argv[1] == "set":
    from tiphys.cmd.malloc import return_large_blocks
    assert return_large_blocks()

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

pins, before = [], resident_mb()
for _ in range(2):
    blocks = []
    for _ in range(20):
        blocks.append(b"x" * (2 << 20))
        pins.append(b"p" * 5000)  # lies behind the block, where the heap could otherwise shrink
    burst = resident_mb()
    del blocks
print(burst - before, resident_mb() - before)
"""


def run(how: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", BURSTS, how], capture_output=True, text=True, check=True)
    burst, after = done.stdout.split()
    return int(burst), int(after)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_a_burst_leaves_nothing_behind() -> None:
    burst, after = run("set")
    assert burst >= 35
    assert after < 5


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_without_it_much_would_stay() -> None:
    assert run("as it is")[1] > 20


def test_elsewhere_than_with_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not malloc.return_large_blocks()
