"""What every controller is given, and the settings of the whole manager. Wiring lives in ``manager``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.client.events import EventRecorder
from tiphys.client.informer import InformerSet
from tiphys.client.leaderelection import Election
from tiphys.client.rest import Client
from tiphys.client.workqueue import WorkQueue
from tiphys.controllers.nodelifecycle.zones import Rates


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Settings with upstream's defaults; times in seconds."""

    controllers: tuple[str, ...] = ("*",)
    """Names to run; ``*`` is all, ``-name`` takes one away."""
    gates: FeatureGates = DEFAULTS
    use_service_account_credentials: bool = True
    """Run each controller as a ServiceAccount of its own in kube-system: upstream's names, so its roles."""
    leader_elect: bool = False
    election: Election = field(default=Election("kube-controller-manager"))
    identity: str = ""
    root_ca_pem: str = ""
    service_account_key_pem: str = field(default="", repr=False)
    """Signs the tokens in Secrets; without it none are made."""
    legacy_token_clean_up_s: float = 365 * 86400.0
    """How long a token in a Secret may lie unused before it is marked, and then before it goes."""
    signing_certificate_pem: str = ""
    signing_key_pem: str = field(default="", repr=False)
    """The authority that signs certificate requests; without it they stay unsigned."""
    signers: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Certificate and key (PEM) of signers that have an authority of their own."""
    signing_duration_s: float = 365 * 86400.0
    """How long signed certificates last at most."""
    cluster_cidr: str = ""
    """Comma-separated pod ranges; empty: nodes get no podCIDR."""
    service_cidr: str = ""
    """Comma-separated ranges of Services, which nodes are given nothing of."""
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    allocate_node_cidrs: bool = True
    node_monitor_period_s: float = 5.0
    node_monitor_grace_s: float = 50.0
    node_startup_grace_s: float = 60.0
    eviction_rates: Rates = field(default=Rates())
    hostpath_root: str = ""
    """Where folders are made for claims of the host-path provisioner; empty: it is off."""
    terminated_pod_threshold: int = 12500
    pod_gc_period_s: float = 20.0
    autoscaler_sync_s: float = 15.0
    gc_resync_s: float = 30.0
    """How often garbage collection looks for new and vanished resources."""
    workers: int = 5
    concurrency: Mapping[str, int] = field(default_factory=dict)
    """How many keys a controller works on at once, where it is not ``workers``; by the controller's name."""

    def workers_of(self, name: str) -> int:
        return self.concurrency.get(name, self.workers)


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all controllers of one manager."""

    client: Client
    informers: InformerSet
    options: ControllerOptions
    clock: Clock

    def queue(self, name: str) -> WorkQueue:
        return WorkQueue(name, clock=self.clock)

    def recorder(self, component: str) -> EventRecorder:
        return self.client.events(component)


class Controller(Protocol):
    """Made with a ``Context``, asks for its informers in the constructor, works until cancelled."""

    name: str

    async def run(self) -> None: ...
