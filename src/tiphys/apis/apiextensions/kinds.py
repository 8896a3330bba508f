"""The strategies of the ``apiextensions.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.apiextensions import defaults, validation
from tiphys.apis.apiextensions.definition_warnings import definition_warnings
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        default=defaults.default_crd,
        prepare_create=defaults.prepare_crd,
        prepare_update=defaults.prepare_crd_update,
        validate=validation.validate_new_crd,
        validate_update=validation.validate_crd_update,
        validate_status_update=validation.validate_crd_status,
        warnings=definition_warnings,
        status_resets=(),
        has_generation=True,
        unconditional_update=False,
    ),
)
