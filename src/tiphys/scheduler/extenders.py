"""Asks extenders: HTTP services beside the scheduler that narrow and rank nodes, and may bind pods.

A shell. What they say becomes plugins of one decision (``plugins.extended``), which is made on the columns of
that moment, not of the moment they were asked. Source: kube-scheduler extender/v1.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson

from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.client.kubeconfig import ClientConfig, ConfigError
from tiphys.client.transport import Call, HttpTransport, TransportError
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.extender_config import ExtenderSettings
from tiphys.scheduler.framework import Profile, run_filters, search
from tiphys.scheduler.plugins.extended import Allowed, Preferred
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.preemption import Victims, importance

log = logging.getLogger(__name__)

_TO_PLUGIN_SCORES = 10
"""Extenders give up to ten points, plugins up to a hundred."""


class ExtenderFailed(TiphysError):
    """An extender that may not be ignored did not answer, or refused."""


class Extender:
    """One extender and its connections."""

    def __init__(self, settings: ExtenderSettings) -> None:
        self.settings = settings
        self._transport: HttpTransport | None = None

    async def filter(self, pod: Object, names: Sequence[str], nodes: Sequence[Object]) -> Allowed:
        """Ask which nodes will do. Raises ExtenderFailed."""
        settings = self.settings
        answer = await self._send(settings.filter_verb, self._arguments(pod, names, nodes))
        if not isinstance(answer, dict):
            raise ExtenderFailed(f"extender {settings.url} gave no object")
        found = {str(key).lower(): value for key, value in answer.items()}
        if found.get("error"):
            raise ExtenderFailed(str(found["error"]))
        passed: frozenset[str] = frozenset()
        if settings.caches_nodes and found.get("nodenames") is not None:
            passed = frozenset(found["nodenames"])
            for strange in sorted(passed - set(names)):
                raise ExtenderFailed(
                    f'extender "{settings.url}" claims a filtered node "{strange}" '
                    "which is not found in the input node list"
                )
        elif found.get("nodes") is not None:
            passed = frozenset(one["metadata"]["name"] for one in found["nodes"].get("items") or ())
        final = found.get("failedandunresolvablenodes") or {}
        failed = {**(found.get("failednodes") or {}), **final}
        return Allowed(settings.url, passed, failed, frozenset(final))

    async def prioritize(
        self, pod: Object, names: Sequence[str], nodes: Sequence[Object]
    ) -> dict[str, float]:
        """Ask what nodes are worth, weight included. Raises ExtenderFailed."""
        answer = await self._send(self.settings.prioritize_verb, self._arguments(pod, names, nodes))
        points: dict[str, float] = {}
        for one in answer if isinstance(answer, list) else ():
            entry = {str(key).lower(): value for key, value in one.items()}
            score = float(entry.get("score") or 0)
            points[str(entry.get("host"))] = score * self.settings.weight * _TO_PLUGIN_SCORES
        return points

    async def bind(self, info: PodInfo, node: str) -> None:
        """Have the pod bound. Raises ExtenderFailed."""
        pod = {"PodName": info.pod["metadata"]["name"], "PodNamespace": info.namespace, "PodUID": info.uid}
        answer = await self._send(self.settings.bind_verb, {**pod, "Node": node})
        error = next((one for key, one in (answer or {}).items() if str(key).lower() == "error"), "")
        if error:
            raise ExtenderFailed(str(error))

    async def preempt(self, pod: Object, columns: Columns, candidates: Sequence[Victims]) -> list[Victims]:
        """Ask which of the candidates are good, and whom they really need to take. Raises ExtenderFailed."""
        key = "NodeNameToMetaVictims" if self.settings.caches_nodes else "NodeNameToVictims"
        offered = {one.node: _offer(one, whole=not self.settings.caches_nodes) for one in candidates}
        answer = await self._send(self.settings.preempt_verb, {"Pod": pod, key: offered})
        said = _lower(answer).get("nodenametometavictims") or {}
        return [one for node in said if (one := self._victims(node, _lower(said[node]), columns)) is not None]

    def _victims(self, node: str, said: dict[str, Any], columns: Columns) -> Victims | None:
        """Read one node of an answer; None for one without victims, if such may be ignored."""
        url, row = self.settings.url, columns.rows.get(node)
        if row is None:
            raise ExtenderFailed(f'nodeinfo not found for node name "{node}"')
        uids = [str(_lower(pod).get("uid")) for pod in said.get("pods") or ()]
        if not uids:
            if self.settings.ignorable:
                return None
            raise ExtenderFailed(f'expected at least one victim pod on node "{node}"')
        for uid in uids:
            if uid not in columns.pods[row]:
                raise ExtenderFailed(
                    f"extender: {url} claims to preempt pod (UID: &{{{uid}}}) on node: {node}, "
                    "but the pod is not found on that node"
                )
        pods = sorted((columns.pods[row][uid] for uid in uids), key=importance)
        return Victims(node, tuple(pods), int(said.get("numpdbviolations") or 0))

    def _arguments(self, pod: Object, names: Sequence[str], nodes: Sequence[Object]) -> Object:
        if self.settings.caches_nodes:
            return {"Pod": pod, "Nodes": None, "NodeNames": list(names)}
        return {"Pod": pod, "Nodes": {"metadata": {}, "items": list(nodes)}, "NodeNames": None}

    async def _send(self, verb: str, body: Object) -> Any:
        url = urlsplit(self.settings.url)
        headers = {"Content-Type": "application/json"}
        path = f"{url.path}/{verb}"
        call = Call("POST", path, headers=headers, body=orjson.dumps(body), timeout_s=self.settings.timeout_s)
        try:
            answer = await self._connected().send(call)
            if answer.status != 200:
                text = f"failed {verb} with extender at URL {self.settings.url}/{verb}, code {answer.status}"
                raise ExtenderFailed(text)
            return orjson.loads(answer.body)
        except (TransportError, ConfigError, orjson.JSONDecodeError, OSError) as error:
            raise ExtenderFailed(f"extender {self.settings.url}: {error}") from error

    def _connected(self) -> HttpTransport:
        if self._transport is None:
            url, tls = urlsplit(self.settings.url), self.settings.tls
            ca, cert, key = (
                data or (Path(file).read_bytes() if file else b"")
                for data, file in zip(tls.data, tls.files, strict=True)
            )
            scheme = "https" if self.settings.secure else url.scheme or "http"
            insecure = tls.insecure or (self.settings.secure and not ca)
            server = f"{scheme}://{url.netloc}"
            self._transport = ClientConfig(
                server, ca, cert, key, insecure=insecure, server_name=tls.server_name
            ).transport()
        return self._transport

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()


def _lower(answer: Any) -> dict[str, Any]:
    """Return an object's fields by lower-case name, as Go takes them in any case."""
    return {str(key).lower(): value for key, value in answer.items()} if isinstance(answer, dict) else {}


def _offer(victims: Victims, *, whole: bool) -> Object:
    pods = [one.pod if whole else {"UID": one.uid} for one in victims.pods]
    return {"Pods": pods, "NumPDBViolations": victims.violations}


class Extenders:
    """All of them, in the order of the configuration."""

    def __init__(self, settings: Iterable[ExtenderSettings]) -> None:
        self._all = [Extender(one) for one in settings]

    def concern(self, info: PodInfo) -> bool:
        """Say whether one of them has a word in where the pod goes."""
        return any(
            (one.settings.filter_verb or one.settings.prioritize_verb)
            and one.settings.concerns(info.pod["spec"])
            for one in self._all
        )

    def binder_of(self, info: PodInfo) -> Extender | None:
        """Return the one that binds the pod, if one does."""
        for one in self._all:
            if one.settings.bind_verb and one.settings.concerns(info.pod["spec"]):
                return one
        return None

    async def consult(
        self, info: PodInfo, columns: Columns, profile: Profile, *, start: int = 0
    ) -> tuple[Profile, int]:
        """Return the profile with what the extenders say about this pod, and how many nodes were looked at.

        Raises ExtenderFailed.
        """
        feasible, _ = run_filters(info, columns, profile)
        feasible, looked_at = search(feasible, columns, profile, start)
        names = [columns.names[row] for row in np.flatnonzero(feasible)]
        asked = [one for one in self._all if one.settings.concerns(info.pod["spec"])]
        allowed: list[Allowed] = []
        for extender in asked:
            if not names:
                break
            if extender.settings.filter_verb:
                said = await self._filter(extender, info, columns, names)
                if said is not None:
                    allowed.append(said)
                    names = [name for name in names if name in said.nodes]
        preferred = await self._prioritize(asked, info, columns, names)
        filters, scores = (*profile.filters, *allowed), (*profile.scores, (preferred, 1.0))
        return replace(profile, filters=filters, scores=scores, percentage=None), looked_at

    def may_preempt(self, info: PodInfo) -> bool:
        """Say whether one of them has a word in which pods make room."""
        return any(one.settings.preempt_verb and one.settings.concerns(info.pod["spec"]) for one in self._all)

    async def preempt(
        self, info: PodInfo, columns: Columns, candidates: Sequence[Victims]
    ) -> Sequence[Victims]:
        """Return the candidates that every extender agrees to, with the victims that they name.

        Raises ExtenderFailed.
        """
        for extender in self._all:
            if not candidates:
                break
            if extender.settings.preempt_verb and extender.settings.concerns(info.pod["spec"]):
                try:
                    candidates = await extender.preempt(info.pod, columns, candidates)
                except ExtenderFailed as error:
                    if not extender.settings.ignorable:
                        raise
                    log.info("extender ignored url=%s error=%s", extender.settings.url, error)
        return candidates

    async def _filter(
        self, extender: Extender, info: PodInfo, columns: Columns, names: list[str]
    ) -> Allowed | None:
        try:
            return await extender.filter(info.pod, names, _nodes(columns, names))
        except ExtenderFailed as error:
            if not extender.settings.ignorable:
                raise
            log.info("extender ignored url=%s error=%s", extender.settings.url, error)
            return None

    async def _prioritize(
        self, asked: list[Extender], info: PodInfo, columns: Columns, names: list[str]
    ) -> Preferred:
        """Ask all at once; those that fail have no preference."""
        ranking = [one for one in asked if one.settings.prioritize_verb]
        if len(names) < 2 or not ranking:
            return Preferred({})
        nodes = _nodes(columns, names)
        found = await asyncio.gather(
            *(one.prioritize(info.pod, names, nodes) for one in ranking), return_exceptions=True
        )
        total: Counter[str] = Counter()
        for extender, points in zip(ranking, found, strict=True):
            if isinstance(points, ExtenderFailed):
                log.info("extender ignored url=%s error=%s", extender.settings.url, points)
            elif isinstance(points, BaseException):
                raise points
            else:
                total.update(points)
        return Preferred(dict(total))

    async def close(self) -> None:
        """Close every connection."""
        for one in self._all:
            await one.close()


def _nodes(columns: Columns, names: Iterable[str]) -> list[Object]:
    rows = (columns.rows.get(name) for name in names)
    found = (columns.nodes[row] for row in rows if row is not None)
    return [node for node in found if node is not None]
