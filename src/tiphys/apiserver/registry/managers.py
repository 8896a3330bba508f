"""Managed fields of custom kinds whose versions a webhook converts: what is needed is asked for, then told.

Who owns what is worked out by pure functions (``ownership``), which may need an object at another version.
They stop there, the webhook converts, and they start over with what it said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from tiphys.apimachinery.meta import GVK, split_api_version
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.registry.ownership import Converted, Unconverted

T = TypeVar("T")
_MOST: Final = 32
"""Conversions for one write: two objects at each of more versions than any kind has."""


async def told(call: Call, run: Callable[[Converted | None], T]) -> T:
    """Return what ``run`` returns, given the conversions that it stops for.

    Raises:
        InternalError: a conversion failed.
    """
    kind, size = call.resource.definition, call.size
    if kind is None or kind.conversion.get("strategy") != "Webhook":
        return await aside(size, run, None)
    store = (call.backend.custom or call.backend).store
    converted: Converted = {}
    while len(converted) < _MOST:
        try:
            return await aside(size, run, converted)
        except Unconverted as asked:
            to = GVK(*split_api_version(asked.api_version), call.resource.kind)
            converted[asked.key] = await store.at(asked.obj, kind, to)  # type: ignore[attr-defined]
    return run(None)
