"""Owner references that come twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tiphys.apiserver.registry.owners import keep_once


class Compared(dict[str, Any]):
    """A reference that counts how often it is compared with another."""

    times = 0

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return super().__eq__(other)


def reference(uid: str, **more: Any) -> Compared:
    return Compared({"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid, **more})


def test_the_first_of_equal_ones_is_kept() -> None:
    warnings: list[str] = []
    given = [reference("1"), reference("2"), reference("1"), reference("1", controller=True), reference("2")]
    obj: dict[str, Any] = {"metadata": {"ownerReferences": given}}
    keep_once(SimpleNamespace(warn=warnings.append), obj)  # type: ignore[arg-type]
    kept = [(one["uid"], "controller" in one) for one in obj["metadata"]["ownerReferences"]]
    assert kept == [("1", False), ("2", False), ("1", True)]
    (text,) = warnings
    assert text.endswith("duplicate UID(s) observed: 1, 2")


def test_many_are_not_compared_with_each_other() -> None:
    given = [reference(f"{number}") for number in range(100)]
    Compared.times = 0
    keep_once(SimpleNamespace(), {"metadata": {"ownerReferences": given}})  # type: ignore[arg-type]
    assert Compared.times == 0
