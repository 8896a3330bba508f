"""Reads kubeconfig files and the credentials that a pod finds in itself; makes an ``HttpTransport``.

Refuses what needs a foreign program (``exec`` and ``auth-provider`` users).
Source: the Config type of client.authentication / clientcmd v1, and "Accessing the API from a Pod".
"""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.client.tls_files import TlsFiles
from tiphys.client.transport import Credentials, HttpTransport, load_chain
from tiphys.wire.dial import Tunnel
from tiphys.wire.peer_names import NamedContext

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(TiphysError):
    """The kubeconfig is missing, malformed, or names what it does not define."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where the server is and who we are. PEM material is kept as bytes, never logged."""

    server: str
    ca_pem: bytes = b""
    cert_pem: bytes = b""
    key_pem: bytes = b""
    insecure: bool = False
    server_name: str = ""
    namespace: str = "default"
    credentials: Credentials = field(default_factory=Credentials)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    """Where the PEM was read, and is read again when it changes; None: it stands in the config itself."""
    through: Tunnel | None = None

    def transport(self) -> HttpTransport:
        """Make the transport that this config describes. Raises ConfigError for unusable PEM."""
        paths = [path for path in (self.ca_file, self.cert_file, self.key_file) if path is not None]
        return HttpTransport(
            self.server,
            ssl_context=self._ssl_context(),
            files=TlsFiles(paths, self._reread) if paths else None,
            anonymous=self._anonymous().transport,
            credentials=self.credentials,
            server_name=self.server_name,
            through=self.through,
        )

    def _anonymous(self) -> ClientConfig:
        return ClientConfig(
            self.server,
            self.ca_pem,
            insecure=self.insecure,
            server_name=self.server_name,
            ca_file=self.ca_file,
            through=self.through,
        )

    def _reread(self) -> ssl.SSLContext | None:
        """Return a context of what the files hold now. Raises OSError, ConfigError."""
        return replace(
            self,
            ca_pem=self.ca_file.read_bytes() if self.ca_file else self.ca_pem,
            cert_pem=self.cert_file.read_bytes() if self.cert_file else self.cert_pem,
            key_pem=self.key_file.read_bytes() if self.key_file else self.key_pem,
        )._ssl_context()

    def _ssl_context(self) -> ssl.SSLContext | None:
        if not self.server.startswith("https:"):
            return None
        try:
            context = NamedContext()
            context.trust(self.ca_pem.decode())
            if self.insecure:
                context.verify_mode = ssl.CERT_NONE
            if self.cert_pem:
                load_chain(context, self.cert_pem, self.key_pem)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"unusable TLS material for {self.server}: {error}") from error
        return context


def load(path: str | Path, context: str = "") -> ClientConfig:
    """Read a kubeconfig; ``context`` empty takes ``current-context``. Raises ConfigError."""
    path = Path(path)
    config = _read(path)
    chosen = _named(config, "contexts", "context", context or config.get("current-context") or "")
    cluster = _named(config, "clusters", "cluster", chosen.get("cluster") or "")
    user = _named(config, "users", "user", chosen["user"]) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"kubeconfig {path}: the cluster has no server")
    base = path.parent
    return replace(
        _user(path, user),
        server=cluster["server"],
        ca_pem=_material(cluster, "certificate-authority", base),
        ca_file=_file(cluster, "certificate-authority", base),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
        namespace=chosen.get("namespace") or "default",
    )


def load_users(path: str | Path) -> dict[str, ClientConfig]:
    """Read the users of a kubeconfig by their names; the current context's is also at the empty name.

    Their server is empty. Raises ConfigError.
    """
    path = Path(path)
    config = _read(path)
    users = {entry["name"]: _user(path, entry.get("user") or {}) for entry in config.get("users") or ()}
    contexts = {entry["name"]: entry.get("context") or {} for entry in config.get("contexts") or ()}
    current = contexts.get(config.get("current-context") or "", {}).get("user")
    return {**users, "": users[current]} if current in users else users


def _read(path: Path) -> dict[str, Any]:
    import yaml  # in a pod there is no such file

    try:
        config = yaml.load(
            path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except OSError as error:
        raise ConfigError(f"kubeconfig {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"kubeconfig {path}: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"kubeconfig {path}: not a mapping")
    return config


def _user(path: Path, user: dict[str, Any]) -> ClientConfig:
    if user.get("exec") or user.get("auth-provider"):
        raise ConfigError(f"kubeconfig {path}: exec and auth-provider users are not supported")
    base, token_file = path.parent, user.get("tokenFile") or ""
    return ClientConfig(
        server="",
        cert_pem=_material(user, "client-certificate", base),
        key_pem=_material(user, "client-key", base),
        cert_file=_file(user, "client-certificate", base),
        key_file=_file(user, "client-key", base),
        credentials=Credentials(
            token=user.get("token") or "",
            token_file=str(base / token_file) if token_file else "",
            username=user.get("username") or "",
            password=user.get("password") or "",
            impersonate_user=user.get("as") or "",
        ),
    )


def in_cluster(directory: Path = SERVICE_ACCOUNT_DIR) -> ClientConfig:
    """Build the config of a pod from its environment and mounted token. Raises ConfigError."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
    try:
        ca_pem = (directory / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"{directory / 'ca.crt'}: {error.strerror}") from error
    namespace = directory / "namespace"
    return ClientConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_pem=ca_pem,
        ca_file=directory / "ca.crt",
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        credentials=Credentials(token_file=str(directory / "token")),
    )


def _named(config: dict[str, Any], section: str, item: str, name: str) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return dict(entry.get(item) or {})
    raise ConfigError(f"kubeconfig: {item} {name!r} is not defined")


def _file(entry: dict[str, Any], name: str, base: Path) -> Path | None:
    """Return the file that ``_material`` reads, None where the config has the bytes itself, or nobody has."""
    return base / str(entry[name]) if entry.get(name) and not entry.get(f"{name}-data") else None


def _material(entry: dict[str, Any], name: str, base: Path) -> bytes:
    embedded: str = entry.get(f"{name}-data") or ""
    if embedded:
        try:
            return base64.b64decode(embedded, validate=True)
        except ValueError as error:
            raise ConfigError(f"kubeconfig: {name}-data is not base64") from error
    if entry.get(name):
        path: Path = base / str(entry[name])
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
    return b""
