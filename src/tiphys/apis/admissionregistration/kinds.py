"""The strategies of the ``admissionregistration.k8s.io`` group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.admissionregistration import defaults, policies, validation
from tiphys.apis.defaulting import peek
from tiphys.apis.strategy import Strategy

STATIC = ".static.k8s.io"
"""How the names end that only objects in files of a server's own may have."""
_RESERVED = (
    f'names ending with "{STATIC}" are reserved for static manifest-based configurations and cannot be '
    "managed via the API"
)
_GATE = "ManifestBasedAdmissionControlConfig"


def _reserved(obj: Object) -> bool:
    """Whether a name is one of those that only files of the server's own may have."""
    return str(peek(obj, "metadata").get("name") or "").endswith(STATIC)


def _reserved_faults(obj: Object) -> list[FieldError]:
    if not (_reserved(obj) and on(_GATE)):
        return []
    return [invalid("metadata.name", obj["metadata"]["name"], _RESERVED)]


def _name_warnings(obj: Object, old: Object | None) -> list[str]:
    """Where such files are not read yet, a new object of such a name is only warned of."""
    return [f"metadata.name: {_RESERVED}"] if old is None and _reserved(obj) and not on(_GATE) else []


def _no_update_faults(_new: Object, _old: Object) -> list[FieldError]:
    return []


def _strategy(
    kind: str,
    default: Callable[[Object], None],
    validate: Callable[[Object], list[FieldError]],
    validate_update: Callable[[Object, Object], list[FieldError]] | None = None,
    validate_status: Callable[[Object, Object], list[FieldError]] = _no_update_faults,
) -> Strategy:
    return Strategy(
        GVK("admissionregistration.k8s.io", "v1", kind),
        default=default,
        validate=validate,
        validate_update=validate_update or (lambda new, _old: validate(new)),
        validate_status_update=validate_status,
        has_generation=True,
        unconditional_update=False,
    )


def _served(strategy: Strategy) -> Strategy:
    """Return how objects of a kind are treated that come over the API, which reserves some names."""
    return replace(
        strategy,
        validate=lambda obj: strategy.validate(obj) + _reserved_faults(obj),
        warnings=_name_warnings,
    )


_KINDS: tuple[Strategy, ...] = (
    *(
        _strategy(kind, default, validation.validate_webhooks, validation.validate_webhooks_update)
        for kind, default in (
            ("ValidatingWebhookConfiguration", defaults.default_validating_webhooks),
            ("MutatingWebhookConfiguration", defaults.default_mutating_webhooks),
        )
    ),
    _strategy(
        "ValidatingAdmissionPolicy",
        defaults.default_policy,
        policies.validate_policy,
        policies.validate_policy_update,
        policies.validate_policy_status,
    ),
    _strategy(
        "MutatingAdmissionPolicy",
        defaults.default_policy,
        policies.validate_policy,
        policies.validate_policy_update,
    ),
    *(
        _strategy(kind, defaults.default_policy_binding, policies.validate_policy_binding)
        for kind in ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding")
    ),
)

STRATEGIES: tuple[Strategy, ...] = tuple(_served(strategy) for strategy in _KINDS)
FROM_FILES: Mapping[str, Strategy] = {strategy.gvk.kind: strategy for strategy in _KINDS}
"""How those in files of a server's own are treated, by kind."""
