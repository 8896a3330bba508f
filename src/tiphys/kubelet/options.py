"""Settings of one kubelet, with upstream's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.kubelet.eviction.plan import DEFAULT_HARD, Threshold, parse_thresholds
from tiphys.kubelet.nodeshutdown.plan import ShutdownPeriod
from tiphys.kubelet.restarts import Pace
from tiphys.kubelet.server.routes import Handlers
from tiphys.wire.tls_options import TlsOptions


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """How callers of the endpoint are known, and who says what they may do."""

    anonymous: bool = False
    webhook_authentication: bool = True
    """Ask the API server whose a bearer token is."""
    webhook_authorization: bool = True
    """Ask the API server what a caller may do; else everybody who is known may do everything."""
    token_ttl_s: float = 120.0
    authorized_ttl_s: float = 300.0
    unauthorized_ttl_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The kubelet's own HTTPS endpoint. Without certificates it makes a self-signed one."""

    address: str = "0.0.0.0"
    port: int = 10250
    certificate: Path | None = None
    key: Path | None = None
    bootstrap: Path | None = None
    """Where to keep the certificates that the cluster is asked to sign; None: it is not asked."""
    client_ca: Path | None = None
    """Signs whose certificates are believed; without it there are only bearer tokens."""
    access: AccessOptions = AccessOptions()
    handlers: Handlers = Handlers()
    """Which of its parts are on."""
    system_logs_dir: Path = Path("/var/log")
    """What ``/logs/`` shows."""
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 0
    """Health without TLS or questions, for whoever watches over the process; 0: none."""
    read_only_port: int = 0
    """Pods and figures without TLS or questions; 0: none."""
    tls: TlsOptions = field(default_factory=TlsOptions)
    flags: Mapping[str, str] = field(default_factory=dict)
    """What ``/flagz`` shows."""
    gates: FeatureGates = DEFAULTS

    @property
    def pair(self) -> tuple[Path, Path] | None:
        """The files of the certificate that was given."""
        return (self.certificate, self.key) if self.certificate and self.key else None


@dataclass(frozen=True, slots=True)
class KubeletOptions:
    """``node_name`` and ``runtime_endpoint`` are what every node must set."""

    node_name: str
    runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    root_dir: Path = Path("/var/lib/kubelet")
    logs_dir: Path = Path("/var/log/pods")
    node_ips: tuple[str, ...] = ()
    """Addresses of the node; the first is its InternalIP."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    """Read for pods with dnsPolicy Default; empty for none."""
    cgroup_root: str = "/kubepods"
    shared_machine: bool = False
    """Whether there are other nodes on this machine: what is used beside the cgroup is not this one's."""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Overrides of what the machine is found to have."""
    max_pods: int = 110
    register_node: bool = True
    cloud: bool = False
    """Whether somebody else (``--cloud-provider=external``) says what machine this is, and its addresses."""
    addresses_given: bool = False
    """Whether ``node_ips`` were asked for, not found."""
    provider_id: str = ""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    static_pod_dir: Path | None = None
    server: ServerOptions | None = field(default_factory=ServerOptions)
    """None: no HTTPS endpoint (tests)."""
    relist_s: float = 1.0
    status_update_s: float = 10.0
    status_report_s: float = 300.0
    lease_duration_s: int = 40
    housekeeping_s: float = 2.0
    image_gc_percents: tuple[int, int] = (85, 80)
    """A disk fuller than the first has unused images removed until it is below the second."""
    thresholds: tuple[Threshold, ...] = parse_thresholds(DEFAULT_HARD)
    """What must be left on the node; when it is not, pods are evicted."""
    eviction_look_s: float = 10.0
    eviction_transition_s: float = 300.0
    eviction_max_grace_s: float = 0.0
    device_plugins: bool = True
    """Whether plugins may register at a socket below the root."""
    shutdown_periods: tuple[ShutdownPeriod, ...] = ()
    """How long pods may take as the node shuts down, by priority; none: they are not asked."""
    reserved: tuple[Mapping[str, str], ...] = ()
    """Taken out of what pods may have: for the system, and for Kubernetes itself."""
    restart_pace: Pace | None = None
    """How fast containers that ended start anew; None: as usual."""
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    tracing: TracingOptions | None = None
    """Where spans go; None: there are none."""

    @property
    def gates(self) -> FeatureGates:
        """Which features are on."""
        return self.server.gates if self.server else DEFAULTS
