"""Defaults and strategies of the ``networking.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.core.address_warnings import balancer_warnings
from tiphys.apis.defaulting import each, fill, fill_optional, section, show
from tiphys.apis.networking import addresses, ingress_validation, validation
from tiphys.apis.ratchet import LEGACY_ADDRESSES, SELECTOR_VALUES, ratcheted
from tiphys.apis.strategy import Strategy

_GROUP = "networking.k8s.io"


def default_network_policy(policy: Object) -> None:
    """Ports are TCP; a policy is about ingress, and about egress where it has egress rules."""
    spec = section(policy, "spec")
    section(spec, "podSelector")
    for direction in ("ingress", "egress"):
        for rule in each(spec, direction):
            for port in each(rule, "ports"):
                fill_optional(port, "protocol", "TCP")
    fill(spec, "policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def default_ingress_class(obj: Object) -> None:
    """Parameters are cluster-wide unless they say otherwise."""
    parameters = (obj.get("spec") or {}).get("parameters")
    if isinstance(parameters, dict):
        fill_optional(parameters, "scope", "Cluster")


def default_ingress(ingress: Object) -> None:
    """What is no Service always shows its group, or that it is of none."""
    spec = section(ingress, "spec")
    backends = [spec.get("defaultBackend")]
    for rule in each(spec, "rules"):
        backends += [path.get("backend") for path in each(rule, "http", "paths")]
    for backend in backends:
        if isinstance(backend, dict) and isinstance(backend.get("resource"), dict):
            show(backend["resource"], "apiGroup")


def prepare_ingress(ingress: Object) -> None:
    """A new Ingress has no address."""
    ingress["status"] = {"loadBalancer": {}}


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK(_GROUP, "v1", "Ingress"),
        default=default_ingress,
        prepare_create=prepare_ingress,
        validate=ingress_validation.validate_ingress,
        validate_update=ingress_validation.validate_ingress_update,
        validate_status_update=ratcheted(
            ingress_validation.validate_ingress_status,
            lambda old: ingress_validation.validate_ingress_status(old, old),
            *LEGACY_ADDRESSES,
        ),
        warnings=ingress_validation.ingress_warnings,
        status_warnings=balancer_warnings,
        has_generation=True,
        status_resets=(),
    ),
    Strategy(
        GVK(_GROUP, "v1", "IngressClass"),
        default=default_ingress_class,
        validate=ingress_validation.validate_ingress_class,
        validate_update=ingress_validation.validate_ingress_class_update,
        has_generation=True,
    ),
    Strategy(
        GVK(_GROUP, "v1", "NetworkPolicy"),
        default=default_network_policy,
        validate=validation.validate_network_policy,
        validate_update=ratcheted(
            validation.validate_network_policy_update,
            validation.validate_network_policy,
            SELECTOR_VALUES,
            *LEGACY_ADDRESSES,
        ),
        warnings=validation.network_policy_warnings,
        has_generation=True,
    ),
    Strategy(
        GVK(_GROUP, "v1", "IPAddress"),
        validate=addresses.validate_ip_address,
        validate_update=addresses.validate_ip_address_update,
        validate_name=addresses.address_name,
    ),
    Strategy(
        GVK(_GROUP, "v1", "ServiceCIDR"),
        validate=addresses.validate_service_cidr,
        validate_update=addresses.validate_service_cidr_update,
        open_status_without="ServiceCIDRStatusFieldWiping",
    ),
)
