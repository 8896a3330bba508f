"""Follows the policies of one kind and their bindings, and finds those that a write may concern.

Owns: the index by resource, subresource and operation, so a write that no policy means costs one look-up.
Objects are read when they change and compiled when they are first needed. One server has one of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission import configuration, matching
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.policies.params import Misconfigured
from tiphys.apiserver.admission.policies.policy import Binding, Policy
from tiphys.apiserver.admission.readiness import Readiness
from tiphys.apiserver.config_files import BadConfiguration, fields, strangeness
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached, ObjectStore

if TYPE_CHECKING:
    from tiphys.apiserver.admission.manifests.loading import Manifests
    from tiphys.apiserver.admission.manifests.source import Source

P = TypeVar("P", bound=Policy)
_GROUP = "admissionregistration.k8s.io"
_REVIEWS = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"), ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)  # fmt: skip
"""A policy about these could keep everybody from asking anything."""


@dataclass(frozen=True, slots=True)
class Concerned(Generic[P]):
    """A policy that means a write, with those of its bindings that do, and the version it wants to see."""

    policy: P
    bindings: list[Binding]
    row: Resource
    faults: Mapping[str, str]
    """Why nobody can tell whether a binding means it, by the binding's name; under no name: the policy."""

    def check(self, binding: str = "") -> None:
        """Raises Misconfigured: there is a fault of this binding, or of the policy."""
        if binding in self.faults:
            raise Misconfigured(self.faults[binding])


@dataclass(frozen=True, slots=True)
class _Candidates(Generic[P]):
    """Policies whose rules may mean a kind of write, and the rows that stand for its kind."""

    policies: list[tuple[P, list[Binding]]]
    others: Sequence[Resource]


class Registry(Generic[P]):
    """Policies by name, each with its bindings by name."""

    def __init__(self, kind: type[P], policies: str, bindings: str) -> None:
        self._kind = kind
        self._plurals = policies, bindings
        self._policies: dict[str, P] = {}
        self._bindings: dict[str, Binding] = {}
        self._bound: list[tuple[P, list[Binding]]] = []
        self._static: list[tuple[P, list[Binding]]] = []
        self._index: dict[tuple[Any, ...], _Candidates[P]] = {}
        self._revision = -1
        self._ready = Readiness()

    def feeds(self, store: ObjectStore, table: Any) -> list[Feed]:
        """Return what must be followed while the server runs."""
        rows = [table.by_path(_GROUP, "v1", plural) for plural in self._plurals]
        observers = self._observe_policy, self._observe_binding
        return self._ready.of(
            Feed(store, row, observe, needs_all=True) for row, observe in zip(rows, observers, strict=True)
        )

    @property
    def is_empty(self) -> bool:
        """Whether no policy is bound, as far as all could be read."""
        return not self._bound and not self._static and bool(self._ready)

    def read_manifests(self, plugin: str, document: Object | None) -> Source | None:
        """Follow the files, too, that a plugin's part of the configuration names; those are asked first.

        Raises:
            BadConfiguration: of the part, or of the files.
        """
        if document is None:
            return None
        kinds, kind = (plugin, f"{plugin}Binding"), f"{plugin}Configuration"
        said = configuration.of_kind(document, kind, configuration.VERSION)
        if strange := strangeness("", said, fields("staticManifestsDir")):
            raise BadConfiguration(strange)

        def take(found: Manifests) -> None:
            policies, bindings = (found[kind] for kind in kinds)
            self._static = _joined(
                {policy.name: policy for policy in map(self._kind, policies)},
                {binding.name: binding for binding in map(Binding, bindings)},
            )
            self._index.clear()

        return configuration.manifests(plugin, said, kinds, take)

    def _observe_policy(self, old: Cached | None, new: Cached | None) -> None:
        if new is None:
            self._policies.pop(old.name if old is not None else "", None)
        else:
            known = self._policies.get(new.name)
            if known is not None and known.spec == (new.object.get("spec") or {}):
                return  # what is compiled stays
            self._policies[new.name] = self._kind(new.object)
        self._join()

    def _observe_binding(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self._bindings[new.name] = Binding(new.object)
        elif old is not None:
            self._bindings.pop(old.name, None)
        self._join()

    def _join(self) -> None:
        self._bound = _joined(self._policies, self._bindings)
        self._index.clear()

    def _candidates(self, attributes: Attributes) -> _Candidates[P]:
        """Return the policies whose rules may mean a write, whatever its name and labels are."""
        table = attributes.call.backend.table
        if table.revision != self._revision:  # what stands for what may have changed
            self._index.clear()
            self._revision = table.revision
        row = attributes.call.resource
        key = (row.group, row.version, row.plural, attributes.subresource, attributes.operation)
        found = self._index.get(key)
        if found is None:
            others = matching.equivalents(attributes)
            bound = self._static if matching.is_exempt(attributes) else self._static + self._bound
            meant = [
                (policy, bindings)
                for policy, bindings in bound
                if any(
                    matching.rule_matches({**rule, "resourceNames": ()}, one, attributes)
                    for rule in policy.match.rules
                    for one in (row, *others)
                )
            ]
            found = self._index[key] = _Candidates(meant, others)
        return found

    async def concerned(self, attributes: Attributes) -> list[Concerned[P]]:
        """Return the policies that mean a write, in the order of their names.

        Raises Forbidden: some policy cannot be read.
        """
        if self.is_empty or (attributes.group, attributes.plural) in _REVIEWS:
            return []
        if not matching.is_exempt(attributes):
            self._ready.check(attributes)
        candidates = self._candidates(attributes)
        if not candidates.policies:
            return []
        labels = await matching.namespace_labels(attributes)
        return list(_selected(candidates, attributes, labels))


def _joined(policies: Mapping[str, P], bindings: Mapping[str, Binding]) -> list[tuple[P, list[Binding]]]:
    """Return the policies that are bound, in the order of their names, each with its bindings in theirs."""
    bound: dict[str, list[Binding]] = {}
    for name in sorted(bindings):
        bound.setdefault(bindings[name].policy, []).append(bindings[name])
    return [(policies[name], bound[name]) for name in sorted(policies) if name in bound]


def _selected(
    candidates: _Candidates[P], attributes: Attributes, labels: matching.NamespaceLabels
) -> Iterator[Concerned[P]]:
    others = candidates.others
    for policy, bindings in candidates.policies:
        row = policy.match.row(attributes, others)
        if row is None:
            continue
        try:
            if not policy.match.selects(attributes, others, labels):
                continue
        except NotFound as error:
            yield Concerned(policy, [], row, {"": str(error)})
            continue
        meant, faults = [], {}
        for binding in bindings:
            try:
                if not _is_meant(binding, attributes, others, labels):
                    continue
            except NotFound as error:
                faults[binding.name] = str(error)
            meant.append(binding)
        yield Concerned(policy, meant, row, faults)


def _is_meant(
    binding: Binding, attributes: Attributes, others: Sequence[Resource], labels: matching.NamespaceLabels
) -> bool:
    """Raises NotFound."""
    return binding.match.row(attributes, others) is not None and binding.match.selects(
        attributes, others, labels
    )
