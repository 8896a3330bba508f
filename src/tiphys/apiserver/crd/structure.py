"""Whether the schemas of a definition are structural, and the condition that says where they are not. Pure.

None is accepted that is not, so only what was stored otherwise can be: by an old version's server. Called by
the controller.

Source: apiextensions.k8s.io/v1 ``NonStructuralSchema``.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.apiextensions.schema_rules import is_readable
from tiphys.apis.apiextensions.structural_rules import structural_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.crd.names import set_condition
from tiphys.apiserver.crd.rows import condition

_TYPE = "NonStructuralSchema"


def is_doubtful(crd: Object) -> bool:
    """Tell whether a definition (or its outline) may have such a schema, or is said to have one."""
    unknown = bool(peek(crd, "spec").get("preserveUnknownFields"))
    return unknown or not condition(crd, "NamesAccepted") or bool(condition(crd, _TYPE))


def judge(crd: Object, status: Object, now: str) -> None:
    """Set the condition in a definition's ``status``, or take it away, in place."""
    found = _violations(crd)
    if found is not None:
        set_condition({"status": status}, _TYPE, *found, now=now)
    elif "conditions" in status:
        status["conditions"] = [one for one in status["conditions"] if one.get("type") != _TYPE]


def _violations(crd: Object) -> tuple[str, str, str] | None:
    texts: list[str] = []
    for index, version in enumerate(each(crd, "spec", "versions")):
        schema = peek(version, "schema", "openAPIV3Schema")
        if not schema:
            continue
        if not is_readable(schema):
            text = f"failed to check validation schema for version {version['name']}"
            return "Unknown", "StructuralError", f"{text}: OpenAPIV3Schema 'schema' is not supported"
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        texts += [str(fault) for fault in structural_faults(schema, path)]
    told = list(dict.fromkeys(texts))
    if not told:
        return None
    return "True", "Violations", told[0] if len(told) == 1 else f"[{', '.join(told)}]"
