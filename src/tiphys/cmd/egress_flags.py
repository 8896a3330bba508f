"""``--egress-selector-config-file``: proxies between this server and what it calls, checked as upstream's."""

from __future__ import annotations

import os.path
from pathlib import Path

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.egress.selector import DIRECT, EgressSelector
from tiphys.cmd.component import FlagError


def egress_from(path: str) -> EgressSelector:
    """Return the tunnels that a file describes, none without one. Raises FlagError."""
    if not path:
        return DIRECT
    if not os.path.exists(path):
        raise FlagError(f"egress-selector-config-file {path} does not exist")
    from tiphys.apiserver.egress import config, tunnels  # few servers have proxies before them

    try:
        return tunnels.make(config.parse(Path(path).read_text(encoding="utf-8")), RealClock())
    except (BadConfiguration, UnicodeDecodeError) as error:
        raise FlagError(str(error)) from error
