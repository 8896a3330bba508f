"""How it is found out whether a write changes anything, and what is counted of that."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.registry.meta_rules import EQUAL, UNEQUAL_FAST, UNEQUAL_SLOW, compare

MAPS = "/api/v1/namespaces/default/configmaps"


def entry(time: str = "t1", manager: str = "m") -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": {"f:data": {}}}


def thing(*entries: dict[str, Any], data: str = "a", **meta: Any) -> dict[str, Any]:
    return {"kind": "K", "metadata": {**meta, "managedFields": list(entries)}, "data": data}


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (thing(entry()), thing(entry("t2")), (True, EQUAL)),
        (thing(entry(), resourceVersion="1"), thing(entry("t2")), (True, EQUAL)),
        (thing(entry()), thing(entry()), (True, UNEQUAL_FAST)),
        (thing(entry()), thing(entry(), data="b"), (False, UNEQUAL_FAST)),
        (thing(entry()), thing(entry("t2"), data="b"), (False, UNEQUAL_SLOW)),
        (thing(entry()), thing(entry("t2"), labels={}), (False, UNEQUAL_SLOW)),
        (thing(entry()), {**thing(entry("t2")), "more": 1}, (False, UNEQUAL_SLOW)),
        (thing(entry()), thing(entry("t2", "n")), (False, UNEQUAL_FAST)),
        (thing(entry()), thing(entry(), entry("t2", "n")), (False, UNEQUAL_FAST)),
        (thing(), thing(), (True, UNEQUAL_FAST)),
        (thing(), {"kind": "K", "metadata": {}, "data": "a"}, (True, UNEQUAL_FAST)),
        (thing(), thing(data="b"), (False, UNEQUAL_FAST)),
    ],
)
def test_what_a_write_changes(old: Any, new: Any, wanted: tuple[bool, str]) -> None:
    assert compare(new, old) == wanted


async def test_what_is_counted(api: Any) -> None:
    async def counted() -> list[str]:
        text = (await api("GET", "/metrics")).raw.decode()
        prefix = "apiserver_request_timestamp_comparison_time_count"
        return [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)]

    def body(data: str) -> dict[str, Any]:
        return {"metadata": {"name": "m"}, "data": {"a": data}}

    before = await counted()
    await api.create(MAPS, body("1"))
    assert await counted() == before, "there was nothing to compare with"
    api.clock.advance(60)
    await api.put(f"{MAPS}/m", body("1"))
    assert await counted() == ['{code_path="unequal_objects_fast"} 1'], "it has touched no field"
    await api.patch(f"{MAPS}/m", {"data": {"a": "2"}})
    assert await counted() == ['{code_path="unequal_objects_fast"} 1', '{code_path="unequal_objects_slow"} 1']
    await api.patch(f"{MAPS}/m?fieldManager=other", {"data": {"b": "2"}})
    assert await counted() == ['{code_path="unequal_objects_fast"} 2', '{code_path="unequal_objects_slow"} 1']
