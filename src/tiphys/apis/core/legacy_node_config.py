"""Rules of a kubelet's configuration in a ConfigMap, which nodes named once and no kubelet reads any more.

What earlier versions stored is still held to them, in the node's spec and in its status.
"""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import forbidden, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apis.inside import inside

_SERVER = ("uid", "resourceVersion")
_NAMED = (
    ("namespace", names.is_dns1123_label),
    ("name", names.is_dns1123_subdomain),
    ("kubeletConfigKey", names.is_config_map_key),
)


def node_config_faults(node: Object) -> list[FieldError]:
    """Return every fault of the configurations that a node names."""
    status = peek(node, "status", "config")
    faults = _source(peek(node, "spec").get("configSource"), "spec.configSource", wanted=True)
    for key in ("assigned", "active", "lastKnownGood"):
        faults += _source(status.get(key), f"status.config.{key}", wanted=False)
    return faults


def _source(source: Object | None, path: str, *, wanted: bool) -> list[FieldError]:
    """``wanted``: what is asked for, which does not say yet which version of the ConfigMap it is."""
    if not isinstance(source, dict):
        return []
    at, held = f"{path}.configMap", source.get("configMap")
    if not isinstance(held, dict):
        shown = inside("NodeConfigSource", source)
        return [invalid(path, shown, "exactly one reference subfield must be non-nil")]
    faults = [
        forbidden(f"{at}.{key}", f"{key} must not be set in spec") if wanted else required(f"{at}.{key}")
        for key in _SERVER
        if bool(held.get(key)) is wanted
    ]
    for key, check in _NAMED:
        value = held.get(key) or ""
        faults += invalid_all(f"{at}.{key}", value, check(value)) if value else [required(f"{at}.{key}")]
    return faults
