"""One metric of an autoscaler: fetched, weighed, and as its status shows it.

Calls ``sources`` for numbers and ``replicas`` for what they mean. Owns: the names of metrics in messages and
the reasons of their failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.go_text import label_selector
from tiphys.apimachinery.meta import Object
from tiphys.controllers.podautoscaler import replicas as calc
from tiphys.controllers.podautoscaler.replicas import Case, NoMetrics, Proposal, Reading, Tolerance
from tiphys.controllers.podautoscaler.sources import MetricSources

FAILURES = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled, as it is now."""

    namespace: str
    selector: str
    pods: Sequence[Object]
    replicas: int
    status_replicas: int
    tolerance: Tolerance
    now: datetime

    def case(self, readings: dict[str, Reading], resource: str = "") -> Case:
        return Case(self.pods, readings, self.replicas, self.tolerance, self.now, resource)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one metric proposes; ``status`` is its entry in ``currentMetrics``."""

    replicas: int
    name: str
    status: Object


async def measure(sources: MetricSources, metric: Object, target: Target) -> Measured:
    """Propose replicas by one metric. Raises NoMetrics."""
    match metric["type"]:
        case "Resource":
            return await _resource(sources, metric["resource"], target, "")
        case "ContainerResource":
            part = metric["containerResource"]
            return await _resource(sources, part, target, part["container"])
        case "Pods":
            return await _pods(sources, metric["pods"], target)
        case "Object":
            return await _object(sources, metric["object"], target)
        case "External":
            return await _external(sources, metric["external"], target)
    raise NoMetrics(f'unknown metric source type "{metric["type"]}"')


async def _resource(sources: MetricSources, part: Object, target: Target, container: str) -> Measured:
    resource, wanted = part["name"], part["target"]
    percent = wanted["type"] == "Utilization"
    try:
        readings = await sources.resource(resource, target.namespace, target.selector, container)
        case = target.case(readings, resource)
        if percent:
            asked = calc.requests_of(target.pods, resource, container)
            proposal = calc.by_utilization(case, asked, int(wanted["averageUtilization"]))
        else:
            proposal = calc.by_average(case, _milli(wanted["averageValue"]))
    except NoMetrics as error:
        told = f"failed to get {resource} {'utilization' if percent else 'usage'}: {error}"
        whole = f"{container} container" if container else f"{resource} resource"
        raise NoMetrics(f"failed to get {whole} metric value: {told}", told) from error
    name = f"{resource} resource"
    if percent:
        what = "container resource" if container else "resource"
        name = f"{resource} {what} utilization (percentage of request)"
    current = _current(proposal)
    if container:
        shown = {"name": resource, "container": container, "current": current}
        return Measured(proposal.replicas, name, {"type": "ContainerResource", "containerResource": shown})
    status = {"type": "Resource", "resource": {"name": resource, "current": current}}
    return Measured(proposal.replicas, name, status)


async def _pods(sources: MetricSources, part: Object, target: Target) -> Measured:
    metric, wanted = part["metric"], _milli(part["target"]["averageValue"])
    try:
        readings = await sources.pods(metric, target.namespace, target.selector)
        proposal = calc.by_average(target.case(readings), wanted)
    except NoMetrics as error:
        raise NoMetrics(f"failed to get pods metric value: {error}", str(error)) from error
    status = {"type": "Pods", "pods": {"metric": metric, "current": _current(proposal)}}
    return Measured(proposal.replicas, f"pods metric {metric['name']}", status)


async def _object(sources: MetricSources, part: Object, target: Target) -> Measured:
    metric, described, wanted = part["metric"], part["describedObject"], part["target"]
    try:
        usage = await sources.of_object(metric, target.namespace, described)
        proposal, current = _by_number(usage, wanted, target)
    except NoMetrics as error:
        within = "" if wanted["type"] == "Value" else f"failed to get {metric['name']} object metric: "
        raise NoMetrics(f"failed to get object metric value: {within}{error}", str(error)) from error
    shown = {"metric": metric, "describedObject": described, "current": current}
    name = _external_name(metric)
    if wanted["type"] == "Value":
        name = f"{described['kind']} metric {metric['name']}"
    return Measured(proposal.replicas, name, {"type": "Object", "object": shown})


async def _external(sources: MetricSources, part: Object, target: Target) -> Measured:
    metric, wanted = part["metric"], part["target"]
    try:
        usage = sum(await sources.external(metric, target.namespace))
        proposal, current = _by_number(usage, wanted, target)
    except NoMetrics as error:
        called = metric["name"]
        what = f"external metric {called}" if wanted["type"] == "Value" else f"{called} external metric"
        whole = f"failed to get {called} external metric value: failed to get {what}: {error}"
        raise NoMetrics(whole, str(error)) from error
    status = {"type": "External", "external": {"metric": metric, "current": current}}
    return Measured(proposal.replicas, _external_name(metric), status)


def _external_name(metric: Object) -> str:
    return f"external metric {metric['name']}({label_selector(metric.get('selector'))})"


def _by_number(usage: int, wanted: Object, target: Target) -> tuple[Proposal, Object]:
    if wanted["type"] == "Value":
        proposal = calc.by_value(
            usage, _milli(wanted["value"]), target.replicas, target.pods, target.tolerance
        )
        return proposal, {"value": _text(usage)}
    proposal = calc.by_value_per_pod(
        usage, _milli(wanted["averageValue"]), target.status_replicas, target.tolerance
    )
    return proposal, {"averageValue": _text(proposal.average)}


def _current(proposal: Proposal) -> Object:
    current: Object = {"averageValue": _text(proposal.average)}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    return current


def _milli(text: object) -> int:
    return quantity.parse(str(text)).milli()


def _text(milli: int) -> str:
    return str(quantity.from_milli(milli))
