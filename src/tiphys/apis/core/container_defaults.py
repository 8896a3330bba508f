"""Defaults of containers, probes, ports and handlers, wherever a pod template is embedded.

Called by ``pod_defaults`` only.
"""

from __future__ import annotations

import re

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.amount_defaults import round_amounts
from tiphys.apis.defaulting import each, fill, fill_optional, section

_TAG = re.compile(r":(?P<tag>[\w][\w.-]{0,127})$")


def image_tag(image: str) -> str:
    """Return the tag an image reference asks for; ``latest`` where it names neither tag nor digest."""
    if not image:
        return ""
    name, _, digest = image.partition("@")
    found = _TAG.search(name.rpartition("/")[2])
    if found:
        return found["tag"]
    return "" if digest else "latest"


def pull_policy(image: str) -> str:
    """Return how an image is pulled unless told: ``latest`` always, anything pinned only when missing."""
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"


def default_container(container: Object) -> None:
    """Complete one container, init container or ephemeral container."""
    fill(container, "terminationMessagePath", "/dev/termination-log")
    fill(container, "terminationMessagePolicy", "File")
    fill(container, "imagePullPolicy", pull_policy(container.get("image") or ""))
    round_amounts(section(container, "resources"), "limits", "requests")
    for port in each(container, "ports"):
        fill(port, "protocol", "TCP")
    for env in each(container, "env"):
        _default_env_source(env.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _default_probe(probe)
    lifecycle = container.get("lifecycle")
    if isinstance(lifecycle, dict):
        for name in ("postStart", "preStop"):
            handler = lifecycle.get(name)
            if isinstance(handler, dict):
                _default_http_get(handler)


def _default_env_source(source: object) -> None:
    if not isinstance(source, dict):
        return
    field = source.get("fieldRef")
    if isinstance(field, dict):
        fill(field, "apiVersion", "v1")
    default_resource_field(source)
    file_key = source.get("fileKeyRef")
    if isinstance(file_key, dict):
        fill_optional(file_key, "optional", False)


def default_resource_field(source: Object) -> None:
    """A resource is told in its own unit unless a divisor says otherwise; having none is shown as zero."""
    resource = source.get("resourceFieldRef")
    if isinstance(resource, dict):
        fill(resource, "divisor", "0")


def _default_probe(probe: Object) -> None:
    fill(probe, "timeoutSeconds", 1)
    fill(probe, "periodSeconds", 10)
    fill(probe, "successThreshold", 1)
    fill(probe, "failureThreshold", 3)
    _default_http_get(probe)
    grpc = probe.get("grpc")
    if isinstance(grpc, dict):
        fill_optional(grpc, "service", "")


def _default_http_get(handler: Object) -> None:
    http = handler.get("httpGet")
    if isinstance(http, dict):
        fill(http, "path", "/")
        fill(http, "scheme", "HTTP")


def default_requests(container: Object) -> None:
    """A limit without a request is a request of the same amount (pods only, not templates)."""
    resources = container.get("resources")
    limits = resources.get("limits") if isinstance(resources, dict) else None
    if not limits:
        return
    requests = section(section(container, "resources"), "requests")
    for name, amount in limits.items():
        requests.setdefault(name, amount)


def default_host_ports(container: Object) -> None:
    """On the host's network every container port is the host's port."""
    for port in each(container, "ports"):
        fill(port, "hostPort", port.get("containerPort"))
