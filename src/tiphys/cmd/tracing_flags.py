"""``--tracing-config-file``: a TracingConfiguration, read and checked as upstream's."""

from __future__ import annotations

from pathlib import Path

import yaml

from tiphys.apimachinery.tracing_config import BadTracing, TracingOptions, read_document
from tiphys.cmd.component import FlagError

_UNREAD = "failed to read tracing config: unable to"


def tracing_from(path: str) -> TracingOptions | None:
    """Return what a file says, None without one. Raises FlagError."""
    if not path:
        return None
    try:
        return read_document(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        why = (error.strerror or "").lower()
        raise FlagError(f'{_UNREAD} read tracing configuration from "{path}": open {path}: {why}') from error
    except yaml.YAMLError as error:
        raise FlagError(f"{_UNREAD} decode tracing configuration data: {error}") from error
    except BadTracing as error:
        raise FlagError(str(error)) from error
