"""Owner references that an object names twice: each is kept once, and the client is warned.

Pure but for the warning. Called by the write handlers, before managed fields are told and after admission.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints.call import Call

_TOLD = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, "
    "and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)


def keep_once(call: Call, obj: Object, *, after_admission: bool = False) -> None:
    """Drop the owner references of ``obj``, the request's own, that are there already."""
    meta = obj["metadata"]
    given = meta.get("ownerReferences")
    if not given or len(given) < 2:
        return
    kept: dict[frozenset[Any], Object] = {}
    doubled = [
        reference.get("uid", "")
        for reference in given
        if kept.setdefault(frozenset(reference.items()), reference) is not reference
    ]
    if doubled:
        meta["ownerReferences"] = list(kept.values())
        when = " after mutating admission happens" if after_admission else ""
        call.warn(_TOLD.format(when, ", ".join(doubled)))
