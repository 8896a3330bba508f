"""One served version of a custom kind: all that the handlers ask of a built-in kind's machinery.

Built by ``rows`` from a definition; rows of the resource table carry it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.correlation import unchanged
from tiphys.apimachinery.schema.list_types import list_type_faults
from tiphys.apimachinery.schema.node import MISSING, Schema
from tiphys.apimachinery.schema.structural import apply_defaults, decode_custom, prune, widen_numbers
from tiphys.apimachinery.schema.validate import Validator
from tiphys.apis import schemas
from tiphys.apis.apiextensions.embedded import embedded_faults, mend, shape
from tiphys.apis.apiextensions.rule_checks import Rules
from tiphys.apis.apiextensions.structural_rules import is_structural
from tiphys.apis.meta_validation import finalizer_warnings
from tiphys.apis.printers.base import Printer
from tiphys.apis.scale import BUILT_IN, ScalePaths, custom_paths, replicas_faults, selector_faults
from tiphys.apis.strategy import Strategy
from tiphys.apiserver.crd.columns import printer_for
from tiphys.apiserver.crd.text import Text

_CLEAN_MAX = 100_000
_BLOCKING = frozenset(
    f"FieldValue{kind}" for kind in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
)
"""Faults of objects that rules are not asked about: types, and what rules may cost, rest on the schema."""
_NOT_ASKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to "
    "complete validation"
)
_IDENTITY = ("apiVersion", "kind")


class CustomKind:
    """Schema, defaults, validation and printing of one version of a definition.

    What the schema says is worked out when it is first asked for.
    """

    def __init__(self, crd: Object, version: Object, text: Text, subresources: Mapping[str, Object]) -> None:
        spec = crd["spec"]
        self._text = text
        self.gvk = GVK(spec["group"], version["name"], spec["names"]["kind"])
        self.definition_name: str = crd["metadata"]["name"]
        self.list_kind: str = spec["names"].get("listKind") or f"{self.gvk.kind}List"
        self.terminating = bool(crd["metadata"].get("deletionTimestamp"))
        self.conversion: Object = spec.get("conversion") or {}
        self.keeps_unknown = bool(spec.get("preserveUnknownFields"))
        """Whatever its schemas say, as definitions once could."""
        self.storage_version = next(one["name"] for one in spec["versions"] if one.get("storage"))
        self._subresources = subresources
        """Of all versions, which share them."""
        self._structurals: dict[str, Schema | None] = {}
        """By apiVersion, of the other versions."""
        self._schemas: dict[str, Schema | None] = {}
        self._columns: Sequence[Object] = version.get("additionalPrinterColumns") or ()
        parts = subresources[self.gvk.version]
        self.has_status = "status" in parts
        scale = parts.get("scale")
        self.has_scale = bool(scale)
        self.scale_paths: ScalePaths = custom_paths(scale) if scale else BUILT_IN
        self.compared: Callable[[Callable[[], bool]], bool] = _compared
        """Compares an object with what it was before an update; may count how long that takes."""
        self.clean: dict[str, int] = {}
        """Keys and revisions of stored objects that reading does not change."""
        self.strategy = self._strategy()

    @property
    def source(self) -> Object:
        """The ``openAPIV3Schema`` as it was written: read anew for every caller."""
        return self._text.schema(self.gvk.version)

    @property
    def published(self) -> Object | None:
        """What documents say of the kind: nothing where its schema is not structural."""
        source = self.source
        return source if not self.keeps_unknown or is_structural(source) else None

    @property
    def digest(self) -> bytes:
        """Tells one state of the definition from others."""
        return self._text.digest

    @cached_property
    def structural(self) -> Schema:
        return build_custom(self.source)

    @cached_property
    def schema(self) -> Schema:
        return _with_metadata(self.structural)

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self.structural)

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self.structural)

    @property
    def has_rules(self) -> bool:
        return bool(self._rules)

    @cached_property
    def _embeds(self) -> bool:
        return _embeds(self.structural)

    @cached_property
    def _unique(self) -> bool:
        return any(node.list_type in ("set", "map") for node in _nodes(self.structural))

    @cached_property
    def printer(self) -> Printer:
        return printer_for(self._columns)

    def _strategy(self) -> Strategy:
        return Strategy(
            self.gvk,
            default=self.default,
            validate=self.validate,
            validate_update=self._validate_update,
            validate_status_update=self._validate_status,
            warnings=finalizer_warnings,
            has_generation=True,
            unconditional_update=False,
            status_fields=("status",) if self.has_status else (),
        )

    def remember_clean(self, key: str, revision: int) -> None:
        """Note that an object as stored is as it is shown."""
        if len(self.clean) >= _CLEAN_MAX:
            self.clean.clear()
        self.clean[key] = revision

    def schema_at(self, api_version: str) -> Schema | None:
        """Return the schema of any version of this kind, None for one that the definition has not."""
        if api_version == self.gvk.api_version:
            return self.schema
        if api_version not in self._schemas:
            structural = self._structural_at(api_version)
            self._schemas[api_version] = None if structural is None else _with_metadata(structural)
        return self._schemas[api_version]

    def _structural_at(self, api_version: str) -> Schema | None:
        if api_version == self.gvk.api_version:
            return self.structural
        if api_version not in self._structurals:
            group, _, name = api_version.rpartition("/")
            known = group == self.gvk.group and name in self._subresources
            self._structurals[api_version] = build_custom(self._text.schema(name)) if known else None
        return self._structurals[api_version]

    def fit(self, obj: Object, *, defaults: bool = False) -> None:
        """Bring an object of any version into the form that its version has, in place."""
        structural = self._structural_at(obj["apiVersion"])
        if structural is not None:
            self._mend(obj, structural)
            if defaults:
                _default(obj, structural)

    def scale_paths_at(self, api_version: str) -> ScalePaths | None:
        """Return where a version keeps what a Scale shows, None where it has no Scale."""
        scale = self._subresources.get(api_version.rpartition("/")[2], {}).get("scale")
        return custom_paths(scale) if scale else None

    def decode(self, obj: Object) -> list[str]:
        """Drop unknown fields, in place, and return their texts; defaults come later.

        Raises:
            DecodeError: metadata has a value of the wrong type, or that of an embedded object has.
        """
        faults = decode_custom(obj, None, schemas.object_meta(), "Strict")
        faults += prune(obj, self.structural)
        widen_numbers(obj)
        if self._embeds:
            shape(obj, self.structural, faults)
        return faults

    def mend(self, obj: Object) -> None:
        """Bring what was stored into the form that is shown, in place; defaults come later."""
        self._mend(obj, self.structural)

    def _mend(self, obj: Object, structural: Schema) -> None:
        prune(obj, structural)
        embeds = self._embeds if structural is self.structural else _embeds(structural)
        mend(obj, structural, embeds=embeds)

    def default(self, obj: Object) -> None:
        """Fill in defaults and settle nulls."""
        _default(obj, self.structural)

    def validate(self, obj: Object) -> list[FieldError]:
        """Return every fault against the schema; rules are asked about what is well-formed otherwise."""
        return self._check(obj, MISSING, self._whole_faults(obj))

    def _whole_faults(self, obj: Object) -> list[FieldError]:
        """Return what a schema does not say: of embedded objects, and of what a Scale shows."""
        scale = self._scale_faults(obj, self.scale_paths.spec_replicas, self.scale_paths.status_replicas)
        return scale + (embedded_faults(obj, self.structural) if self._embeds else [])

    def _scale_faults(self, obj: Object, *paths: str) -> list[FieldError]:
        if not self.has_scale:
            return []
        faults = [fault for path in paths for fault in replicas_faults(obj, path)]
        return faults + (selector_faults(obj, self.scale_paths.selector) if len(paths) > 1 else [])

    def _check(self, obj: Object, old: Any, others: list[FieldError]) -> list[FieldError]:
        same = old is not MISSING and self.compared(lambda: unchanged(obj, old, self.structural))
        faults = [] if same else self._validator.validate(obj, old)
        faults = faults + others + self._repeated(obj, old)
        if not self._rules:
            return faults
        if any(fault.type in _BLOCKING for fault in faults):
            return [*faults, field_errors.invalid("<nil>", None, _NOT_ASKED)]
        return faults + self._rules.check(obj, old)

    def _repeated(self, obj: Object, old: Any) -> list[FieldError]:
        """Return what lists have twice; where they had before, wherever that was, they may."""
        faults = list_type_faults(obj, self.structural) if self._unique else []
        return [] if faults and old is not MISSING and list_type_faults(old, self.structural) else faults

    def _validate_update(self, new: Object, old: Object) -> list[FieldError]:
        """Parts that the schema refuses do not stop an update that leaves them as they were."""
        return self._check(new, old, self._whole_faults(new))

    def _validate_status(self, new: Object, old: Object) -> list[FieldError]:
        return self._check(new, old, self._scale_faults(new, self.scale_paths.status_replicas))


def _compared(compare: Callable[[], bool]) -> bool:
    return compare()


def _embeds(structural: Schema) -> bool:
    return any(node.embedded_resource for node in _nodes(structural))


def _default(obj: Object, structural: Schema) -> None:
    kept = {key: obj[key] for key in (*_IDENTITY, "metadata") if key in obj}
    apply_defaults(obj, structural)
    obj.update(kept)


def _with_metadata(schema: Schema) -> Schema:
    """Return the schema with what every object has, in embedded ones too."""
    return replace(_embedding(schema), type="object", properties=_with_identity(_embedding(schema)))


def _with_identity(schema: Schema) -> dict[str, Schema]:
    text = Schema(type="string")
    identity = {"apiVersion": text, "kind": text, "metadata": schemas.object_meta()}
    return schema.properties | identity


def _embedding(schema: Schema) -> Schema:
    """Return the node, or a copy of it where an embedded object is in it."""
    fields = {key: _embedding(one) for key, one in schema.properties.items()}
    items, additional = (
        None if inner is None else _embedding(inner) for inner in (schema.items, schema.additional)
    )
    same = all(one is schema.properties[key] for key, one in fields.items())
    if same and items is schema.items and additional is schema.additional and not schema.embedded_resource:
        return schema
    made = replace(schema, properties=fields, items=items, additional=additional)
    if schema.embedded_resource:
        made.properties = _with_identity(made)
    return made


def _nodes(schema: Schema) -> Iterator[Schema]:
    """Yield a node and all below it."""
    yield schema
    for child in schema.properties.values():
        yield from _nodes(child)
    for inner in (schema.items, schema.additional):
        if inner is not None:
            yield from _nodes(inner)
