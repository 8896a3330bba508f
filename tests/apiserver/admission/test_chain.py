"""Whom the chain asks about what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tiphys.apimachinery.clock import FakeClock
from tiphys.apis.table import TABLE
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.chain import PLUGINS, AdmissionChain
from tiphys.apiserver.endpoints.call import Call


class _Plugin:
    def __init__(self, name: str, asked: list[str], **more: Any) -> None:
        self.NAME = name
        self._asked = asked
        self.__dict__.update(more)

    async def admit(self, attributes: Attributes) -> None:
        self._asked.append(f"{self.NAME} admits {attributes.plural}")
        if self.NAME == "changing" and not attributes.reinvocation.again:
            attributes.reinvocation.wanted = True

    async def validate(self, attributes: Attributes) -> None:
        self._asked.append(f"{self.NAME} validates {attributes.plural}")


_INFO = SimpleNamespace(name="", namespace="")


def _attributes(group: str, plural: str, *, operation: str = "CREATE", subresource: str = "") -> Attributes:
    row = TABLE.by_path(group, "v1", plural)
    return Attributes(
        cast(Call, SimpleNamespace(resource=row, backend=SimpleNamespace(clock=FakeClock()), info=_INFO)),
        operation,
        {"metadata": {}},
        None,
        subresource=subresource,
    )


async def test_only_those_concerned_are_asked_in_order() -> None:
    asked: list[str] = []
    pods = frozenset({("", "pods")})
    chain = AdmissionChain([_Plugin("all", asked), _Plugin("some", asked, RESOURCES=pods)])
    for _ in range(2):
        for group, plural in (("", "pods"), ("apps", "deployments")):
            attributes = _attributes(group, plural)
            await chain.admit(attributes)
            await chain.validate(attributes)
        assert asked == [
            "all admits pods", "some admits pods", "all validates pods", "some validates pods",
            "all admits deployments", "all validates deployments",
        ]  # fmt: skip
        asked.clear()


async def test_all_are_asked_again_after_a_webhook() -> None:
    asked: list[str] = []
    chain = AdmissionChain([_Plugin("first", asked), _Plugin("changing", asked)])
    await chain.admit(_attributes("", "pods"))
    assert asked == ["first admits pods", "changing admits pods"] * 2


async def test_one_more_is_asked_last() -> None:
    asked: list[str] = []
    chain = AdmissionChain([_Plugin("first", asked)])
    await chain.validate(_attributes("", "pods"))
    chain.add(_Plugin("added", asked))
    await chain.validate(_attributes("", "pods"))
    assert asked == ["first validates pods", "first validates pods", "added validates pods"]


async def test_disabled_plugins_are_never_asked() -> None:
    asked: list[str] = []
    chain = AdmissionChain([_Plugin("one", asked), _Plugin("two", asked)], disabled=["one"])
    await chain.admit(_attributes("", "pods"))
    assert asked == ["two admits pods"]


def test_plugins_name_resources_that_exist() -> None:
    known = {(row.group, row.plural) for row in TABLE}
    for plugin in PLUGINS:
        assert getattr(plugin, "RESOURCES", frozenset()) <= known, plugin.NAME


async def test_a_plugin_is_asked_about_the_operations_and_subresources_that_it_names() -> None:
    asked: list[str] = []
    created, objects = frozenset({"CREATE"}), frozenset({""})
    chain = AdmissionChain([
        _Plugin("creations", asked, ADMITS=created), _Plugin("deletions", asked, VALIDATES={"DELETE"}),
        _Plugin("objects", asked, SUBRESOURCES=objects),
    ])  # fmt: skip
    for operation, subresource, admit, validate in (
        ("CREATE", "", ["creations", "deletions", "objects"], ["creations", "objects"]),
        ("CREATE", "binding", ["creations", "deletions"], ["creations"]),
        ("UPDATE", "status", ["deletions"], ["creations"]),
        ("DELETE", "", ["deletions", "objects"], ["creations", "deletions", "objects"]),
    ):
        attributes = _attributes("", "pods", operation=operation, subresource=subresource)
        await chain.admit(attributes)
        assert asked == [f"{name} admits pods" for name in admit]
        asked.clear()
        await chain.validate(attributes)
        assert asked == [f"{name} validates pods" for name in validate]
        asked.clear()


async def test_an_idle_plugin_is_counted_and_not_asked() -> None:
    asked: list[str] = []
    idle = [True]
    chain = AdmissionChain([_Plugin("one", asked, idle=lambda _attributes: idle[0])])
    await chain.admit(_attributes("", "pods"))
    assert asked == []
    idle[0] = False
    await chain.admit(_attributes("", "pods"))
    assert asked == ["one admits pods"]
    family, *_ = chain.times.collect()
    counts = [sample.value for sample in family.samples if sample.name.endswith("_count")]
    assert counts == [2]


def test_plugins_name_operations_and_subresources_that_exist() -> None:
    known = {""} | {sub.name for row in TABLE for sub in row.subresources}
    for plugin in PLUGINS:
        assert getattr(plugin, "SUBRESOURCES", frozenset()) <= known, plugin.NAME
        for kind in ("ADMITS", "VALIDATES"):
            operations: frozenset[str] = getattr(plugin, kind, frozenset())
            assert operations <= {"CREATE", "UPDATE", "DELETE", "CONNECT"}, plugin.NAME
