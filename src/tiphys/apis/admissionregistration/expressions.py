"""What expressions of admission may refer to, and how they are compiled. Pure.

Owns: the types of ``request``, ``namespaceObject``, ``variables`` and of what mutations make, and the words
for expressions that do not compile. Validation, the admission plugins and the type check share it.

Source: "CEL in Kubernetes" and the admission policies' pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tiphys.apimachinery.cel import (
    KUBERNETES,
    WITH_PATCHES,
    CompileError,
    Declaration,
    Environment,
    InstantiationError,
    Program,
    Type,
    declare,
    object_declaration,
    types,
)
from tiphys.apimachinery.cel.declarations import plain
from tiphys.apimachinery.cel.library.authorizers import AUTHORIZER, RESOURCE_CHECK
from tiphys.apimachinery.cel.library.patches import PATCH
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import internal, invalid
from tiphys.apimachinery.schema.node import Schema

VARIABLES = "variables"
OBJECT = types.object_of("Object", None)
PATCHES = types.list_of(PATCH)
_TEXTS = types.list_of(types.STRING)


def _declared(name_: str, /, **fields: Type | Declaration) -> Declaration:
    known = {key: plain(one) if isinstance(one, Type) else one for key, one in fields.items()}
    return object_declaration(f"kubernetes.{name_}", known)


_KIND = _declared("GroupVersionKind", group=types.STRING, version=types.STRING, kind=types.STRING)
_RESOURCE = _declared("GroupVersionResource", group=types.STRING, version=types.STRING, resource=types.STRING)
_USER = _declared(
    "UserInfo",
    username=types.STRING,
    uid=types.STRING,
    groups=_TEXTS,
    extra=types.map_of(types.STRING, _TEXTS),
)
REQUEST = _declared(
    "AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=types.STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=types.STRING,
    name=types.STRING,
    namespace=types.STRING,
    operation=types.STRING,
    userInfo=_USER,
    dryRun=types.BOOL,
    options=types.DYN,
)


def _namespace() -> Declaration:
    text, number = Schema(type="string"), Schema(type="integer")
    time = Schema(type="string", format="date-time")
    texts, labels = Schema(type="array", items=text), Schema(type="object", additional=text)

    def fields(**properties: Schema) -> Schema:
        return Schema(type="object", properties=properties)

    metadata = fields(
        name=text, generateName=text, namespace=text, labels=labels, annotations=labels, UID=text,
        creationTimestamp=time, deletionGracePeriodSeconds=number, deletionTimestamp=time, generation=number,
        resourceVersion=text, finalizers=texts,
    )  # fmt: skip
    condition = fields(status=text, type=text, lastTransitionTime=time, message=text, reason=text)
    status = fields(conditions=Schema(type="array", items=condition), phase=text)
    whole = fields(metadata=metadata, spec=fields(finalizers=texts), status=status)
    declared = declare(whole, name="kubernetes.Namespace")
    assert declared is not None
    return declared


NAMESPACE = _namespace()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which variables there are beside those that every expression has."""

    params: bool = False
    authorizer: bool = False
    patches: bool = False
    """Objects and patches can be made."""


def _structs(name: str) -> Type | None:
    if name == PATCH.name:
        return PATCH
    if name == OBJECT.name:
        return OBJECT
    return types.object_of(name, None) if name.startswith("Object.") else None


@cache
def environment(scope: Scope) -> Environment:
    """Return the environment of expressions whose objects have no known type."""
    declared: dict[str, Type | Declaration] = {
        "object": types.DYN,
        "oldObject": types.DYN,
        "namespaceObject": NAMESPACE,
        "request": REQUEST,
    }
    if scope.params:
        declared["params"] = types.DYN
    if scope.authorizer:
        declared |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
    if scope.patches:
        return Environment(declared, WITH_PATCHES, structs=_structs)
    return Environment(declared, KUBERNETES)


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression: its program, or why it is none."""

    text: str
    program: Program | None
    fault: str = ""
    internal: bool = False
    """The fault is told as the server's own."""

    def faults(self, path: str, shown: str | None = None) -> list[FieldError]:
        """Return the fault of the field that it is in, which may show another text."""
        if not self.fault:
            return []
        if self.internal:
            return [internal(path, self.fault)]
        return [invalid(path, self.text if shown is None else shown, self.fault)]


def compile_in(env: Environment, text: str, *wanted: Type) -> Compiled:
    """Compile an expression that must give one of these types; any type will do where none is named."""
    try:
        program = env.compile(text)
    except CompileError as error:
        return Compiled(text, None, error.told(), isinstance(error, InstantiationError))
    if wanted and program.result not in wanted:
        shown = [_type_name(one) for one in wanted]
        what = shown[0] if len(shown) == 1 else f"one of [{' '.join(shown)}]"
        return Compiled(text, None, f"must evaluate to {what} but got {_type_name(program.result)}")
    return Compiled(text, program)


def _type_name(one: Type) -> str:
    return "null_type" if one == types.NULL else str(one)


def _kept(found: Type) -> Type:
    """Return the type that a variable shows of its value; objects and what libraries make show none."""
    if found.kind in ("object", "opaque", "optional", "type", "param", "wrapper"):
        return types.DYN
    return Type(found.kind, found.name, tuple(map(_kept, found.params)))


class Composition:
    """The expressions of one policy, which may use its variables; each variable those before it.

    ``types_of`` says what is known of the types of ``object``, ``oldObject`` and ``params``. There are no
    ``variables`` unless it is ``composed``.
    """

    def __init__(
        self, scope: Scope, types_of: Mapping[str, Declaration] | None = None, *, composed: bool = True
    ) -> None:
        self.variables: dict[str, Compiled] = {}
        self.scope = scope
        self._fields: dict[str, Type] = {}
        self._types: dict[str, Type | Declaration] = {**(types_of or {})}
        if composed:
            self._types[VARIABLES] = types.object_of("kubernetes.variables", self._fields)
        self._environments: dict[Scope, Environment] = {}

    def add(self, name: str, text: str) -> Compiled:
        """Compile a variable and let what is compiled later refer to it."""
        found = self.compile(text)
        self.variables[name] = found
        self._fields[name] = types.DYN if found.program is None else _kept(found.program.result)
        return found

    def compile(self, text: str, *wanted: Type, scope: Scope | None = None) -> Compiled:
        """Compile an expression; ``scope`` where it is another one than the variables'."""
        scope = scope or self.scope
        env = self._environments.get(scope)
        if env is None:
            env = self._environments[scope] = environment(scope).extend(self._types)
        return compile_in(env, text, *wanted)
