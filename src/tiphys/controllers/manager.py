"""Runs every controller of the manager over one client and one set of shared informers.

The one ordered list of controllers is here; adding one is adding a line.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.meta import new_uid
from tiphys.client.healthchecks import PING
from tiphys.client.informer import InformerSet
from tiphys.client.leaderelection import CHECK, LeaderElector
from tiphys.client.rest import Client
from tiphys.client.serviceaccount import clients_for_accounts
from tiphys.controllers.attachdetach.controller import AttachDetachController
from tiphys.controllers.bootstrap.controller import BootstrapSigner, TokenCleaner
from tiphys.controllers.certificates.controller import (
    CertificateApprover,
    CertificateCleaner,
    CertificateSigner,
)
from tiphys.controllers.certificates.pod_requests import PodCertificateCleaner
from tiphys.controllers.certificates.trust_bundles import TrustBundlePublisher
from tiphys.controllers.clusterroleaggregation.controller import ClusterRoleAggregationController
from tiphys.controllers.context import Context, Controller, ControllerOptions
from tiphys.controllers.cronjob.controller import CronJobController
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.devicetainteviction.controller import DeviceTaintEvictionController
from tiphys.controllers.disruption.controller import DisruptionController
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.ephemeralvolume.controller import EphemeralVolumeController
from tiphys.controllers.garbagecollector.controller import GarbageCollector
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.legacytokens.controller import LegacyTokenCleaner
from tiphys.controllers.metrics import RUNNING
from tiphys.controllers.names import ALIASES, ELSEWHERE, GATES, OFF_BY_DEFAULT
from tiphys.controllers.namespace.controller import NamespaceController
from tiphys.controllers.nodeipam.controller import NodeIpamController
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController
from tiphys.controllers.persistentvolume.expander import VolumeExpander
from tiphys.controllers.podautoscaler.controller import HorizontalPodAutoscalerController
from tiphys.controllers.podgc.controller import PodGarbageCollector
from tiphys.controllers.podgroups.controller import PodGroupProtectionController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.replicationcontroller.controller import ReplicationControllerController
from tiphys.controllers.resourceclaim.controller import ResourceClaimController
from tiphys.controllers.resourcequota.controller import ResourceQuotaController
from tiphys.controllers.rootca.controller import RootCaController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController
from tiphys.controllers.servicecidr.controller import ServiceCidrController
from tiphys.controllers.statefulset.controller import StatefulSetController
from tiphys.controllers.storageprotection.controller import (
    AttributesClassProtectionController,
    PvcProtectionController,
    PvProtectionController,
)
from tiphys.controllers.storageversionmigrator.controller import StorageVersionMigrator
from tiphys.controllers.tainteviction.controller import TaintEvictionController
from tiphys.controllers.tokens.controller import ServiceAccountTokenController
from tiphys.controllers.ttl.controller import TtlController
from tiphys.controllers.ttlafterfinished.controller import TtlAfterFinishedController
from tiphys.controllers.validatingadmissionpolicystatus.controller import (
    ValidatingAdmissionPolicyStatusController,
)

log = logging.getLogger(__name__)

CONTROLLERS: tuple[type, ...] = (
    ServiceAccountController,
    ServiceAccountTokenController,
    LegacyTokenCleaner,
    RootCaController,
    CertificateApprover,
    CertificateSigner,
    CertificateCleaner,
    PodCertificateCleaner,
    TrustBundlePublisher,
    BootstrapSigner,
    TokenCleaner,
    TtlController,
    ClusterRoleAggregationController,
    ResourceQuotaController,
    NamespaceController,
    NodeIpamController,
    NodeLifecycleController,
    TaintEvictionController,
    DeviceTaintEvictionController,
    ServiceCidrController,
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    ReplicaSetController,
    ReplicationControllerController,
    DeploymentController,
    DaemonSetController,
    StatefulSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    DisruptionController,
    HorizontalPodAutoscalerController,
    PersistentVolumeController,
    PvcProtectionController,
    PvProtectionController,
    AttributesClassProtectionController,
    PodGroupProtectionController,
    VolumeExpander,
    AttachDetachController,
    EphemeralVolumeController,
    ResourceClaimController,
    PodGarbageCollector,
    ValidatingAdmissionPolicyStatusController,
    StorageVersionMigrator,
    GarbageCollector,
)

__all__ = ["CONTROLLERS", "ControllerManager", "ControllerOptions", "UnknownController", "chosen"]


class UnknownController(TiphysError):
    """``--controllers`` names what no controller is called."""


def chosen(selection: tuple[str, ...], gates: FeatureGates = DEFAULTS) -> list[type]:
    """Return the controllers that the option names; ``*`` is the usual ones, ``-name`` takes one away.

    Those behind feature gates that are off are not among them.

    Raises UnknownController.
    """
    own = {str(kind.name): kind for kind in CONTROLLERS}  # type: ignore[attr-defined]
    named = set()
    for one in selection:
        sign, name = ("-", one[1:]) if one.startswith("-") else ("", one)
        known = ALIASES.get(name, name)
        if known not in own and known != "*" and known not in ELSEWHERE:
            raise UnknownController(f'"{name}" is not in the list of known controllers')
        if known in ELSEWHERE:
            log.warning("controller %s is none of its own here", name)
        named.add(sign + known)
    off = {name for name, gate in GATES.items() if not gates.enabled(gate)}
    return [kind for name, kind in own.items() if name not in off and _is_chosen(name, named)]


def _is_chosen(name: str, selection: set[str]) -> bool:
    if f"-{name}" in selection:
        return False
    return name in selection or ("*" in selection and name not in OFF_BY_DEFAULT)


class ControllerManager:
    """``run`` works until cancelled; with leader election it first waits for its turn."""

    def __init__(self, client: Client, options: ControllerOptions, clock: Clock | None = None) -> None:
        self._client = client
        self._options = options
        self._clock = clock or RealClock()
        self._elector: LeaderElector | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def checks(self, _kind: str = "") -> dict[str, str | None]:
        """Return the checks of health with what is wrong: the election's and each working controller's."""
        found = {} if self._elector is None else {CHECK: self._elector.fault()}
        found.update(dict.fromkeys(name for name, task in self._tasks.items() if not task.done()))
        return found or {PING: None}

    async def run(self) -> None:
        """Raises LeadershipLost when the lease could not be kept: the process must then end."""
        if not self._options.leader_elect:
            await self._run_all()
            return
        identity = self._options.identity or f"{socket.gethostname()}_{new_uid()}"
        self._elector = LeaderElector.of(self._client, self._options.election, identity, clock=self._clock)
        await self._elector.run(self._run_all)

    async def _run_all(self) -> None:
        informers = InformerSet(self._client, name="kube-controller-manager")
        kinds = chosen(self._options.controllers, self._options.gates)
        clients = self._clients(kinds)
        controllers: list[Controller] = [
            kind(Context(client, informers, self._options, self._clock))
            for kind, client in zip(kinds, clients, strict=True)
        ]
        log.info("controllers start count=%d", len(controllers))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informers.run())
                for controller in controllers:
                    RUNNING.labels(controller.name, "kube-controller-manager").set(1)
                    self._tasks[controller.name] = group.create_task(controller.run())
        finally:
            for controller in controllers:
                RUNNING.labels(controller.name, "kube-controller-manager").set(0)
            for client in clients:
                if client is not self._client:
                    await client.close()

    def _clients(self, kinds: list[type]) -> list[Client]:
        """What each controller writes with. Informers read with the manager's own rights either way."""
        if not self._options.use_service_account_credentials:
            return [self._client] * len(kinds)
        accounts = [str(kind.account) for kind in kinds]  # type: ignore[attr-defined]
        made = clients_for_accounts(self._client, "kube-system", set(filter(None, accounts)), self._clock)
        return [made.get(account, self._client) for account in accounts]
