"""Rules of PodTemplates."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.pod_validation import validate_template
from tiphys.apis.defaulting import peek


def validate_pod_template(obj: Object) -> list[FieldError]:
    """Return every fault of a PodTemplate."""
    return validate_template(peek(obj, "template"), "template")


def validate_pod_template_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a PodTemplate."""
    return validate_pod_template(new)
