"""Definitions at rest: what is kept of them, and when their schemas are read."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.crd.rows import rows_of
from tiphys.apiserver.crd.text import Given, Text, outline
from tiphys.apiserver.registry.objects import Selection

from .conftest import definition, version


class Counted(Given):
    """Counts how often the text is asked for."""

    def __init__(self, crd: Any) -> None:
        super().__init__(crd)
        self._raw, self.asked = self.raw, 0
        del self.raw

    def __getattr__(self, name: str) -> Any:
        if name != "raw":
            raise AttributeError(name)
        self.asked += 1
        return self._raw


def established(*versions: Any) -> Any:
    crd = definition(*versions)
    condition = {"type": "Established", "status": "True"}
    crd["status"] = {"acceptedNames": crd["spec"]["names"], "conditions": [condition]}
    return crd


def test_rows_read_no_schema_until_asked() -> None:
    crd = established(version("v1"), version("v2", storage=False, subresources={"status": {}}))
    where = Counted(crd)
    first, second = rows_of(crd, Text(where, crd))
    kind = second.definition
    assert (kind.has_status, kind.list_kind, kind.scale_paths_at("example.com/v1")) == (True, "FooList", None)
    assert kind.strategy.status_fields == ("status",)
    assert where.asked == 0
    assert kind.schema is kind.schema
    assert kind.structural.properties["spec"].required == ("image",)
    assert where.asked == 1
    assert kind.schema_at("example.com/v1").properties["spec"].required == ("image",)
    assert kind.schema_at("example.com/v3") is None
    assert where.asked == 2
    assert first.definition.source == version()["schema"]["openAPIV3Schema"]


def test_nodes_are_shared_where_nothing_is_embedded() -> None:
    (row,) = rows_of(established())
    kind = row.definition
    spec, whole = kind.structural.properties["spec"], kind.schema.properties["spec"]
    assert whole.properties["ports"] is spec.properties["ports"]
    assert "metadata" in whole.properties["template"].properties
    assert "metadata" not in spec.properties["template"].properties


def test_digests_tell_specs_apart() -> None:
    one, other = established(), established(version("v2"))
    same = established()
    same["metadata"]["labels"] = {"a": "b"}
    digests = [Text(Given(crd), crd).digest for crd in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_an_outline_shares_nothing_and_has_no_versions() -> None:
    crd = established()
    crd["metadata"] |= {"annotations": {"a": "b"}, "managedFields": [{}], "generation": 3}
    found = outline(crd)
    assert "versions" not in found["spec"]
    assert found["metadata"] == {"name": "foos.example.com", "annotations": {"a": "b"}, "generation": 3}
    found["status"]["conditions"].clear()
    assert len(crd["status"]["conditions"]) == 1
    del crd["status"]
    assert "status" not in outline(crd)


async def test_only_those_without_their_names_are_judged_again(api: Any, crds: Any) -> None:
    await crds.make()
    for plural in ("bars", "cars"):
        await crds.make(plural=plural, kind=plural[:3].capitalize())
    late = crds.definition(plural="foods", kind="Foo")
    await api.create(crds.path, late)
    await crds.wait("foods.example.com", "NamesAccepted", "False")
    custom = api.server.custom
    asked: list[str] = []
    settled = custom._settled

    def settle(crd: Any, **how: Any) -> Any:
        asked.append(crd["metadata"]["name"])
        return settled(crd, **how)

    custom._settled = settle
    await api("DELETE", f"{crds.path}/foos.example.com")
    await crds.wait("foods.example.com", "Established")
    assert set(asked) == {"foods.example.com"}


async def test_large_definitions_are_not_kept_decoded(api: Any, crds: Any) -> None:
    one = crds.version()
    one["schema"]["openAPIV3Schema"]["description"] = "x" * 40_000
    for at in range(40):
        await api.create(crds.path, crds.definition(one, plural=f"f{at}s", kind=f"F{at}"))
    await api.settle()
    await api.get(crds.path)
    page = await api.server.objects.list(api.server.custom.row, Selection())
    for item in page.items:
        assert item.object["kind"] == "CustomResourceDefinition"
    assert sum(item._object is not None for item in page.items) == 32


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"


async def test_tables_and_metadata_of_definitions_do_not_need_their_schemas(
    api: Any, crds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = crds.version()
    large["schema"]["openAPIV3Schema"]["description"] = "x" * 40_000
    await crds.make(large)
    path = f"{crds.path}/foos.example.com"
    whole = await api.get(path)
    cached = await api.server.backend.store.get(api.server.custom.row, "", "foos.example.com")
    monkeypatch.setattr(cached, "_object", None)
    monkeypatch.setattr(type(cached), "object", None)
    made = whole["metadata"]["creationTimestamp"]
    for name in ("", "/foos.example.com"):
        (row,) = (await api.get(crds.path + name, accept=TABLE))["rows"]
        assert row["cells"] == ["foos.example.com", made]
        assert row["object"]["metadata"] == whole["metadata"]
    listed = await api.get(crds.path, accept=METADATA.format("List"))
    one = await api.get(path, accept=METADATA.format(""))
    assert [item["metadata"] for item in listed["items"]] == [one["metadata"]] == [whole["metadata"]]
    monkeypatch.undo()
    (row,) = (await api.get(f"{crds.path}?includeObject=Object", accept=TABLE))["rows"]
    assert row["object"] == whole


class Version(dict[str, Any]):
    """A version that counts how often it is asked for what it has."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        Version.asked += 1
        return super().get(key, default)


def _asked(count: int) -> int:
    crd = established()
    schema = {"openAPIV3Schema": {"type": "object"}}
    crd["spec"]["versions"] = [
        Version(name=f"v{at}", served=True, storage=at == 1, deprecated=at > 1, schema=schema)
        for at in range(1, count + 1)
    ]
    where = Given(crd)
    before = Version.asked
    assert len(rows_of(crd, Text(where, crd))) == count
    return Version.asked - before


def test_versions_are_not_looked_through_for_each_of_them() -> None:
    assert _asked(80) < 5 * _asked(20)
