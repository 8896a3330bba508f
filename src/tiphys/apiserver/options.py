"""What the API server can be told, with upstream's names (flag ``--service-cluster-ip-range`` and so on)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.apimachinery.dataclass import dataclass

if TYPE_CHECKING:
    from tiphys.apiserver.audit.assembly import AuditOptions
    from tiphys.apiserver.authz.abac import Policy

from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.apiserver.authn.jwt_config import JwtConfig
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.egress.selector import DIRECT, EgressSelector

ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
"""Addresses before names: a node's name is known to DNS in few clusters."""
KUBELET_PORT = 10250
STORE_CHECK_S = 2.0
DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class ApiServerOptions:
    """Every setting has a value that works; times are in seconds."""

    authorization_modes: tuple[str, ...] = ("Node", "RBAC")
    authorization_config: Path | None = None
    """An AuthorizationConfiguration; takes the place of the modes."""
    authorization_policies: tuple[Policy, ...] | None = None
    """What mode ABAC goes by; None: there is no such mode."""
    authorization_webhook_config: Path | None = None
    """A kubeconfig of the service that mode Webhook asks."""
    authorization_webhook_version: str = "v1beta1"
    authorization_webhook_authorized_ttl_s: float = 300.0
    authorization_webhook_unauthorized_ttl_s: float = 30.0
    anonymous_auth: bool | None = None
    """None: as the authentication configuration has it, or else yes."""
    tokens: tuple[TokenEntry, ...] = ()
    """Static tokens, as ``--token-auth-file`` gives them."""
    service_account_issuer: str = DEFAULT_ISSUER
    service_account_signing_key: bytes = b""
    """PEM; a fresh one is made when empty."""
    service_account_signing_endpoint: str = ""
    """The socket of a signer that holds the keys instead."""
    further_service_account_issuers: tuple[str, ...] = ()
    """Issuers of older tokens, still taken."""
    service_account_public_keys: tuple[bytes, ...] = ()
    """Further keys (PEM) that verify tokens."""
    service_account_max_token_expiration_s: int = 0
    """No longer lifetime is given to who asks for one; 0: whatever is asked."""
    service_account_jwks_uri: str = ""
    enable_bootstrap_token_auth: bool = False
    token_webhook_config: Path | None = None
    """A kubeconfig of the service that is asked about tokens."""
    token_webhook_version: str = "v1beta1"
    token_webhook_cache_ttl_s: float = 120.0
    authentication_config: Path | None = None
    oidc: JwtConfig | None = None
    """The issuer that ``--oidc-*`` flags name."""
    request_header: RequestHeader | None = None
    proxy_client_certificate: Path | None = None
    """As whom this server shows itself to aggregated API servers; made at the start when not given."""
    proxy_client_key: Path | None = None
    api_audiences: tuple[str, ...] = ()
    """Empty: the issuer."""
    service_account_extend_token_expiration: bool = True
    service_account_lookup: bool = True
    """Tokens that lie in Secrets are good while they do; False: as long as their key is."""
    service_cluster_ip_ranges: tuple[str, ...] = ("10.96.0.0/12",)
    service_node_port_range: tuple[int, int] = (30000, 32767)
    advertise_address: str = "127.0.0.1"
    secure_port: int = 6443
    event_ttl_s: int = 3600
    client_ca: bytes = b""
    """PEM of the CA of client certificates; published to clusters in kube-root-ca's stead by ``up``."""
    min_watch_timeout_s: int = 1800
    request_timeout_s: float = 60.0
    priority_and_fairness: bool = True
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    """With priority and fairness the sum of both is the seats of all priority levels."""
    audit: AuditOptions | None = None
    peer_ca: bytes = b""
    """PEM of the CA of other API servers over the same store; empty: nothing is passed on to them."""
    peer_address: tuple[str, int] | None = None
    """Where they find this one; None: they are not told."""
    component_ports: tuple[tuple[str, int], ...] = (("scheduler", 10259), ("controller-manager", 10257))
    """Where ``componentstatuses`` asks for the health of the control plane, on this machine."""
    storage_initialization_s: float = 60.0
    """For so long a start waits for a slow store to fill its indexes."""
    store_check_s: float = STORE_CHECK_S
    """A store that takes longer to answer is at fault for the check ``etcd``."""
    store_ready_check_s: float = STORE_CHECK_S
    """The same for ``etcd-readiness``."""
    metric_resolution_s: float = 15.0
    """Between two looks at what nodes use (``metrics.k8s.io``)."""
    livez_grace_period_s: float = 0.0
    """For so long after the start ``/livez`` does not ask whether the start is finished."""
    shutdown_delay_s: float = 0.0
    """Between the end of readiness and the end of listening."""
    shutdown_send_retry_after: bool = False
    """Whether listening goes on until all requests are answered, and new ones are told to come again."""
    shutdown_watch_grace_s: float = 0.0
    """In so long a time watches are ended one by one; 0: all at once."""
    allow_privileged: bool = True
    """Whether containers may be privileged."""
    external_hostname: str = ""
    """In URLs of this server, a port with it or not; empty: the advertised address."""
    api_servers: int = 1
    """How many there are over the same store, as somebody says: new custom kinds wait for all of them."""
    delete_collection_workers: int = 1
    """How many objects of a collection are deleted at a time."""
    publishes_endpoints: bool = True
    """Whether the Service ``kubernetes`` leads to this server."""
    kubernetes_service_node_port: int = 0
    """The port on every node that leads to the Service ``kubernetes``; 0: none."""
    max_connection_bytes_per_s: int = 0
    """How fast bytes pass an upgraded connection each way; 0: as fast as they come."""
    logs_dir: Path | None = Path("/var/log")
    """Whose files ``/logs/`` shows; None: there is no such path."""
    cors_allowed_origins: tuple[str, ...] = ()
    """Regular expressions of origins whose pages may read answers."""
    strict_transport_security: tuple[str, ...] = ()
    """Directives for browsers that came over TLS."""
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    """None: kubelets' serving certificates are not verified."""
    kubelet_port: int = KUBELET_PORT
    """Of kubelets whose nodes do not tell."""
    kubelet_addresses: tuple[str, ...] = ADDRESS_TYPES
    """Which of a node's addresses to call: the first of these types that it has."""
    default_tolerations_s: tuple[int, int] = (300, 300)
    """How long pods stay on a node that is not ready, and on one that is not reached."""
    enabled_admission: tuple[str, ...] = ()
    """Plugins beyond those that are on by themselves."""
    disabled_admission: tuple[str, ...] = ()
    admission_config: Path | None = None
    """An AdmissionConfiguration: what single plugins are told."""
    cluster_domain: str = "cluster.local"
    collects_garbage: bool = True
    """Whether somebody waits for dependents: else propagation policies are not heeded."""
    rejects_redirects: bool = True
    """Whether aggregated servers may not lead clients elsewhere."""
    routes_to_endpoints: bool = False
    """Whether aggregated servers are called by their own addresses; by those of their Services otherwise."""
    encryption_provider_config: Path | None = None
    """An EncryptionConfiguration: which resources are sealed at rest, and with which keys."""
    encryption_provider_config_automatic_reload: bool = False
    feature_gates: FeatureGates = DEFAULTS
    runtime_config: Mapping[str, str] = field(default_factory=dict)
    """Which versions and resources are served besides, or are not; see ``apis.runtime_config``."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """What ``/flagz`` shows."""
    egress: EgressSelector = DIRECT
    """By which ways this server reaches what it calls."""
    tracing: TracingOptions | None = None
    """Where spans go; None: there are none."""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One line of a token file."""

    token: str
    user: str
    uid: str
    groups: tuple[str, ...] = ()
