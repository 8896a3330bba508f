"""The object of a write in the version that somebody outside wants to see, and back.

Owns: conversion, decoding and defaults around what webhooks and policies change.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver import machinery
from tiphys.apiserver.admission.attributes import Attributes


def seen_as(obj: Object | None, row: Resource) -> Object | None:
    """Return an object in the version of a row; custom objects and CONNECT's options stay as they are."""
    if obj is None or row.custom or obj.get("kind") != row.kind:
        return obj
    return machinery.convert(obj, row.gvk)


def take(attributes: Attributes, changed: Object, row: Resource, *, strict: bool = False) -> bool:
    """Make the object of a write what ``changed`` says, in the version of ``row``; tells whether it differs.

    ``changed`` is the caller's own. What it left open gets defaults, and what is not in the schema goes.

    Raises:
        BadRequest: a value has the wrong type; where ``strict``, also for what is not in the schema.
    """
    obj = attributes.obj
    assert obj is not None
    resource = attributes.call.resource
    unknown = machinery.decode_in_place(changed, row.gvk, row)
    if strict and unknown and not row.custom:
        raise BadRequest(f"strict decoding error: {', '.join(unknown)}")
    after = changed if row.custom else machinery.convert(changed, resource.storage)
    machinery.strategy_for(resource).default(after)
    if after == obj:
        return False
    obj.clear()
    obj.update(after)
    return True
