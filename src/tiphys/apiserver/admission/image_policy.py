"""ImagePolicyWebhook: a remote service says which images may run.

Owns: the question, what is remembered of answers, and what a failed call means. Refuses: the connection
(``remote``). Source: the "Admission Control" page; imagepolicy.k8s.io ImageReview.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed
from tiphys.client.kubeconfig import ConfigError

log = logging.getLogger(__name__)
_MAX_KEPT: Final = 1024
_AUDIT: Final = "imagepolicywebhook.image-policy.k8s.io/"
_GROUP, _VERSION = "imagepolicy.k8s.io", "v1alpha1"
_TOLD: Final = ".image-policy.k8s.io/"
"""Annotations of a pod with this in their name are shown to the service."""
_DEFAULT, _NEVER = 0, -1


@dataclass(frozen=True, slots=True)
class _Setting:
    """One number of the configuration: its scale in seconds, and within which bounds it must lie."""

    scale_s: float
    least_s: float
    most_s: float
    usual_s: float
    shown: tuple[str, str]

    def read(self, value: Any) -> float:
        """Raises BadConfiguration."""
        if value in (None, _DEFAULT):
            return self.usual_s
        if value == _NEVER:
            return 0.0
        found = float(value) * self.scale_s
        if not self.least_s < found <= self.most_s:
            low, high = self.shown
            raise BadConfiguration(f"valid value is between {low} and {high}, got {found:g}s")
        return found


_BACKOFF: Final = _Setting(0.001, 1e-9, 300.0, 0.5, ("1ns", "5m0s"))
_ALLOW: Final = _Setting(1.0, 1.0, 1800.0, 300.0, ("1s", "30m0s"))
_DENY: Final = _Setting(1.0, 1.0, 1800.0, 30.0, ("1s", "30m0s"))


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """How answers are kept and what no answer means."""

    allow_ttl_s: float = 300.0
    deny_ttl_s: float = 30.0
    default_allow: bool = False


class ImagePolicyWebhook:
    """Asks about the images of each pod, once for pods that are alike."""

    NAME = "ImagePolicyWebhook"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({"", "ephemeralcontainers"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    def __init__(self, remote: Remote, policy: ImagePolicy) -> None:
        self._remote = remote
        self._policy = policy
        self._kept: OrderedDict[bytes, tuple[float, Object]] = OrderedDict()

    @classmethod
    def configured(cls, document: Object | None) -> ImagePolicyWebhook:
        """Raises BadConfiguration."""
        said = peek(document or {}, "imagePolicy")
        if not said.get("kubeConfigFile"):
            raise BadConfiguration("the imagePolicy needs a kubeConfigFile")
        try:
            backoff_s = _BACKOFF.read(said.get("retryBackoff"))
            policy = ImagePolicy(
                _ALLOW.read(said.get("allowTTL")),
                _DENY.read(said.get("denyTTL")),
                bool(said.get("defaultAllow")),
            )
            remote = Remote.from_kubeconfig(Path(said["kubeConfigFile"]), first_wait_s=backoff_s)
        except (ConfigError, TypeError, ValueError) as error:
            raise BadConfiguration(str(error)) from error
        return cls(remote, policy)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        spec = question(attributes.obj, attributes.namespace, attributes.subresource)
        status = await self._status(attributes, spec)
        for key, value in peek(status, "auditAnnotations").items():
            attributes.annotate(_AUDIT + key, value)
        if status.get("allowed"):
            return
        reason = status.get("reason")
        raise attributes.refuse(
            f"image policy webhook backend denied one or more images: {reason}"
            if reason
            else "one or more images rejected by webhook backend"
        )

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._remote.close()

    async def _status(self, attributes: Attributes, spec: Object) -> Object:
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        clock = attributes.call.backend.clock
        kept = self._kept.get(key)
        if kept is not None and kept[0] > clock.monotonic():
            return kept[1]
        review: Object = {"kind": "ImageReview", "apiVersion": f"{_GROUP}/{_VERSION}", "spec": spec}
        review |= {"metadata": {}, "status": {"allowed": False}}
        self._remote.certificates = attributes.call.backend.certificates
        notes = attributes.call.request.scope.get("audit_annotations")
        try:
            answer = await self._remote.post(review, {_VERSION: _shape()}, notes)
        except RemoteFailed as error:
            log.warning("error contacting webhook backend: %s", error)
            if not self._policy.default_allow:
                raise attributes.refuse(str(error)) from error
            attributes.annotate(f"{_AUDIT}failed-open", "true")
            return {"allowed": True}
        status = peek(answer, "status")
        self._keep(key, status, clock)
        return status

    def _keep(self, key: bytes, status: Object, clock: Clock) -> None:
        ttl_s = self._policy.allow_ttl_s if status.get("allowed") else self._policy.deny_ttl_s
        if ttl_s > 0:
            self._kept[key] = (clock.monotonic() + ttl_s, status)
            self._kept.move_to_end(key)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)


@cache
def _shape() -> Schema:
    text = Schema(type="string")
    fields = {
        "allowed": Schema(type="boolean"),
        "reason": text,
        "auditAnnotations": Schema(type="object", additional=text),
    }
    name = f"io.k8s.api.imagepolicy.{_VERSION}.ImageReview"
    status = Schema(type="object", name=f"{name}Status", properties=fields)
    head = {"apiVersion": text, "kind": text}
    return Schema(type="object", name=name, properties={**head, "status": status})


def question(pod: Object, namespace: str, subresource: str) -> Object:
    """Return the ``spec`` of the ImageReview about a pod, or about its ephemeral containers alone. Pure."""
    lists = ("ephemeralContainers",) if subresource else ("containers", "initContainers")
    spec: Object = {
        "containers": [
            {"image": one.get("image") or ""} for name in lists for one in each(pod, "spec", name)
        ],
        "namespace": namespace,
    }
    annotations = peek(pod, "metadata", "annotations")
    told = {key: value for key, value in annotations.items() if _TOLD in key}
    return {**spec, "annotations": told} if told else spec
