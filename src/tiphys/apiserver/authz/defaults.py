"""The roles and bindings that every cluster has, as this release ships them."""

from __future__ import annotations

from functools import cache
from importlib import resources as package_files

import orjson

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authz.rules import Rule, rules_of


@cache
def default_policy() -> tuple[Object, ...]:
    """Return the default roles and bindings. Shared: read only."""
    text = package_files.files("tiphys.apiserver").joinpath("data/rbac/policy.json").read_bytes()
    return tuple(orjson.loads(text))


def node_rules() -> tuple[Rule, ...]:
    """Return what the node authorizer lets every kubelet do, whatever the stored role says."""
    roles = (obj for obj in default_policy() if obj["kind"] == "ClusterRole")
    return next((rules_of(role) for role in roles if role["metadata"]["name"] == "system:node"), ())
