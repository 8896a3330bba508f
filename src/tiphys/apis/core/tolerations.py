"""What tolerations have to do with each other: which covers which, and how lists of them are joined. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiphys.apimachinery.meta import Object

_FIELDS = ("key", "operator", "value", "effect")


def _bare(toleration: Object) -> tuple[str, ...]:
    return tuple(str(toleration.get(name) or "") for name in _FIELDS)


def same(one: Object, other: Object) -> bool:
    """Tell whether two tolerations are equal in all that they say."""
    return _bare(one) == _bare(other) and one.get("tolerationSeconds") == other.get("tolerationSeconds")


def covers(wide: Object, narrow: Object) -> bool:
    """Tell whether whatever ``narrow`` tolerates is tolerated by ``wide``."""
    if same(wide, narrow):
        return True
    exists = wide.get("operator") == "Exists"
    key = wide.get("key") or ""
    if key != (narrow.get("key") or "") and (key or not exists):
        return False
    effect = wide.get("effect") or ""
    if effect and effect != (narrow.get("effect") or ""):
        return False
    if effect == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if exists:
        return True
    equal = {wide.get("operator") or "Equal", narrow.get("operator") or "Equal"} == {"Equal"}
    return equal and (wide.get("value") or "") == (narrow.get("value") or "")


def merge(first: Iterable[Object], second: Iterable[Object]) -> list[Object]:
    """Join two lists; a toleration that another one covers is left out, of equal ones the first stays."""
    given, merged = [*first, *second], list[Object]()
    for number, one in enumerate(given):
        later = given[number + 1 :]
        if any(covers(kept, one) for kept in merged):
            continue
        if any(covers(other, one) and not same(other, one) for other in later):
            continue
        merged.append(one)
    return merged


def all_covered(tolerations: Iterable[Object], allowed: Sequence[Object]) -> bool:
    """Tell whether each toleration is one of those allowed, or less; no list allows everything."""
    return not allowed or all(any(covers(wide, one) for wide in allowed) for one in tolerations)


def add_toleration(tolerations: Iterable[Object], added: Object) -> list[Object]:
    """Return the list with one more, in the place of one that is alike but for how long it tolerates."""
    found = list(tolerations)
    for number, one in enumerate(found):
        if same(one, added):
            return found
        if _bare(one) == _bare(added):
            found[number] = added
            return found
    return [*found, added]
