"""What every component says that it is and was made for. Imports next to nothing: ``--version`` is quick."""

from __future__ import annotations

import platform
from typing import Final

RELEASE: Final = "v1.36.0"
PLATFORM: Final = "{}/{}".format(
    platform.system().lower(),
    {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
)
"""The words for machines are Go's."""
