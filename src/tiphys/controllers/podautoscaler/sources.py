"""Where the autoscaler's numbers come from: the resource, custom and external metrics APIs.

Owns: their paths and forms. Raises NoMetrics with upstream's texts; what a number means is ``replicas``'.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tiphys.apimachinery import quantity
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.go_text import label_selector
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.rest import Client
from tiphys.controllers.podautoscaler.replicas import NoMetrics, Reading

_POD_METRICS = GVR("metrics.k8s.io", "v1beta1", "pods")
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


class MetricSources:
    """Reads metrics with one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(
        self, name: str, namespace: str, selector: str, container: str = ""
    ) -> dict[str, Reading]:
        """Return what pods (or one container of each) use of a resource, by pod."""
        try:
            answer = await self._client.list(_POD_METRICS, namespace, label_selector=selector)
        except StatusError as error:
            text = f"unable to fetch metrics from resource metrics API: {error.message}"
            raise NoMetrics(f"unable to get metrics for resource {name}: {text}") from error
        items = answer.get("items") or []
        if not items:
            text = "no metrics returned from resource metrics API"
            raise NoMetrics(f"unable to get metrics for resource {name}: {text}")
        readings = {}
        for item in items:
            value = _used(item, name, container)
            if value is not None:
                at, window_s = parse_time(item["timestamp"]), _seconds(item.get("window", "1m"))
                readings[item["metadata"]["name"]] = Reading(value, at, window_s)
        return readings

    async def pods(self, metric: Mapping[str, object], namespace: str, selector: str) -> dict[str, Reading]:
        """Return a custom metric of pods, by pod."""
        try:
            found = await self._custom(f"{_CUSTOM}/namespaces/{namespace}/pods/*", metric, selector)
            if not found:
                raise NoMetrics("no metrics returned from custom metrics API")
        except NoMetrics as error:
            raise NoMetrics(f"unable to get metric {metric['name']}: {error}") from error
        return {
            item["describedObject"]["name"]: Reading(
                _milli(item["value"]), _moment(item.get("timestamp")), float(item.get("windowSeconds") or 60)
            )
            for item in found
        }

    async def of_object(self, metric: Mapping[str, object], namespace: str, described: Object) -> int:
        """Return a custom metric of one object."""
        try:
            found = await self._custom(await self._path_of(described, namespace), metric, "")
            if len(found) != 1:
                text = f"the custom metrics API server returned {len(found)} results"
                why = f"{text} when we asked for exactly one"
                raise NoMetrics(f"unable to fetch metrics from custom metrics API: {why}")
        except NoMetrics as error:
            which = f"{described['kind']} {namespace}/{described['name']}"
            raise NoMetrics(f"unable to get metric {metric['name']} on {which}: {error}") from error
        return _milli(found[0]["value"])

    async def _path_of(self, described: Object, namespace: str) -> str:
        kind = str(described["kind"])
        group = str(described.get("apiVersion") or "v1").rpartition("/")[0]
        if kind == "Namespace" and not group:
            return f"{_CUSTOM}/namespaces/{namespace}/metrics"
        plural = await self._plural(described, group)
        resource = f"{plural}.{group}" if group else plural
        return f"{_CUSTOM}/namespaces/{namespace}/{resource}/{described['name']}"

    async def external(self, metric: Mapping[str, object], namespace: str) -> list[int]:
        """Return the values of an external metric."""
        name, wanted = str(metric["name"]), metric.get("selector")
        selector = str(from_label_selector(wanted)) if isinstance(wanted, dict) else ""
        where = f"{namespace}/{name}/{label_selector(wanted if isinstance(wanted, dict) else None)}"
        try:
            answer = await self._client.request(
                "GET", f"{_EXTERNAL}/namespaces/{namespace}/{name}", query={"labelSelector": selector}
            )
        except StatusError as error:
            text = f"unable to fetch metrics from external metrics API: {error.message}"
            raise NoMetrics(f"unable to get external metric {where}: {text}") from error
        items = answer.get("items") or []
        if not items:
            text = "no metrics returned from external metrics API"
            raise NoMetrics(f"unable to get external metric {where}: {text}")
        return [_milli(item["value"]) for item in items]

    async def _custom(self, path: str, metric: Mapping[str, object], selector: str) -> list[Object]:
        name, wanted = str(metric["name"]), metric.get("selector")
        query = {"labelSelector": selector}
        if isinstance(wanted, dict):
            query["metricLabelSelector"] = str(from_label_selector(wanted))
        try:
            answer = await self._client.request("GET", f"{path}/{name}", query=query)
        except StatusError as error:
            text = f"unable to fetch metrics from custom metrics API: {error.message}"
            raise NoMetrics(text) from error
        items: list[Object] = answer.get("items") or []
        return items

    async def _plural(self, described: Object, group: str) -> str:
        version = str(described.get("apiVersion") or "v1")
        path = f"/apis/{version}" if group else f"/api/{version}"
        try:
            listed = await self._client.request("GET", path)
        except StatusError as error:
            raise NoMetrics(f"unable to map kind {described['kind']}: {error.message}") from error
        for one in listed.get("resources") or ():
            if one["kind"] == described["kind"] and "/" not in one["name"]:
                return str(one["name"])
        raise NoMetrics(f'no matches for kind "{described["kind"]}" in version "{version}"')


def _used(item: Object, resource: str, container: str) -> int | None:
    """Add up a pod's containers; None where one of them, or the one that is asked for, says nothing."""
    total, seen = 0, False
    for one in item.get("containers") or ():
        if container and one["name"] != container:
            continue
        amount = (one.get("usage") or {}).get(resource)
        if amount is None:
            return None
        total, seen = total + _milli(amount), True
    return total if seen else None


def _milli(text: object) -> int:
    return quantity.parse(str(text)).milli()


def _moment(text: object) -> datetime | None:
    return parse_time(text) if isinstance(text, str) and text else None


def _seconds(text: str) -> float:
    """Read a window such as ``15s`` or ``1m30.5s``."""
    minutes, _, rest = text.rpartition("m") if "ms" not in text else ("", "", text)
    hours, _, minutes = minutes.rpartition("h")
    seconds = float(rest.removesuffix("ms")) / 1000 if rest.endswith("ms") else float(rest.rstrip("s") or 0)
    return float(hours or 0) * 3600 + float(minutes or 0) * 60 + seconds
