"""The watch cache: objects in memory over a store."""

from tiphys.apiserver.cache.store import CachedStore

__all__ = ["CachedStore"]
