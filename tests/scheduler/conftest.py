"""The scheduler's builders as a fixture, so that tests need no package of their own."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

_path = pathlib.Path(__file__).with_name("builders.py")
_spec = importlib.util.spec_from_file_location("scheduler_builders", _path)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["scheduler_builders"] = _module
_spec.loader.exec_module(_module)
