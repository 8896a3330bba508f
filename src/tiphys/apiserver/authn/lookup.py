"""How authenticators read objects: through a function, so that they can be tried without a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tiphys.apimachinery.meta import Object

Lookup = Callable[[str, str, str], Awaitable[Object | None]]
"""(plural of a core resource, namespace, name) -> object, or None when it is gone."""
