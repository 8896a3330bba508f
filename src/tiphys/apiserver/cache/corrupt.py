"""Stored values that cannot be read: what is told of one, and of a list that holds some.

With the gate that lets such objects be deleted they are called corrupt, each by its key. Pure. Called by
``bucket``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tiphys.apimachinery.errors import InternalError, StatusError, object_details, qualified
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache.foreign import NotStored

_ROOT: Final = "/registry"
_MOST: Final = 100
"""So many are told of one by one."""
_TOO_MANY: Final = "too many errors, the list is truncated"


class CorruptObject(InternalError):
    """A value that does not come open, or is no object of its kind."""

    def __init__(self, key: str, revision: int, error: Exception) -> None:
        self.key = key
        self.revision = revision
        self.is_sealed = not isinstance(error, NotStored)
        self.text = str(error)
        self._what = (
            f"data from the storage is not transformable revision=0: {error}"
            if self.is_sealed
            else f"object not decodable revision={revision}: {error}"
        )
        if not self.is_sealed and not told_apart():  # upstream passes its decoder's words on as they are
            super().__init__(self.text, reason="")
            return
        text = self.described(key.removeprefix(_ROOT)) if told_apart() else self.text
        super().__init__(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})

    def described(self, key: str) -> str:
        """Return how the store tells of it, by a key."""
        return (
            f"StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: {self._what}"
        )


def told_apart() -> bool:
    """Whether what cannot be read is told apart from other faults, and may be deleted."""
    return on("AllowUnsafeMalformedObjectDeletion")


def unreadable(resource: Resource, faults: Sequence[CorruptObject]) -> StatusError:
    """Return what is told of a list that holds these."""
    first = faults[0]
    if not told_apart():
        if not first.is_sealed:
            return StatusError(first.text)
        return InternalError.of(f'unable to transform key "{first.key}": {first.text}')
    causes: list[dict[str, Any]] = [
        {"reason": "UnexpectedServerResponse", "message": one.described(one.key), "field": one.key}
        for one in faults[:_MOST]
    ]
    if len(faults) > _MOST:
        causes.append({"reason": "FieldValueTooMany", "message": _TOO_MANY})
    name = qualified(resource.plural, resource.group)
    return StatusError(
        f"failed to read one or more {name} from the storage",
        details={**object_details(resource.group, resource.plural, "list"), "causes": causes},
        reason="StorageReadError",
    )
