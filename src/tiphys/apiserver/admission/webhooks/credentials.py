"""As whom this server shows itself to webhooks: the users of the ``kubeConfigFile`` of a webhook plugin.

Owns: which user is meant for which webhook. Source: the "Authenticate API servers" section of the "Dynamic
Admission Control" page; apiserver.config.k8s.io WebhookAdmissionConfiguration.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.configuration import VERSION, of_kind
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.outgoing.webhook_call import ANONYMOUS, Identity
from tiphys.client import kubeconfig
from tiphys.wire.pki import KeyPair


class Credentials:
    """Users by their names in the file: hosts, ``*.domain``, ``*``; the empty one is the default."""

    def __init__(self, users: Mapping[str, Identity] | None = None) -> None:
        self._users = users or {}

    @classmethod
    def configured(cls, document: Object | None) -> Credentials:
        """Raises BadConfiguration."""
        path = of_kind(document, "WebhookAdmissionConfiguration", VERSION).get("kubeConfigFile")
        if not path:
            return cls()
        if not Path(path).is_absolute():
            fault = invalid("kubeConfigFile", path, "must be an absolute file path")
            raise BadConfiguration(str(fault))
        try:
            users = kubeconfig.load_users(Path(path))
        except kubeconfig.ConfigError as error:
            raise BadConfiguration(str(error)) from error
        return cls({name: _identity(user) for name, user in users.items()})

    def of(self, host: str, port: int) -> Identity:
        """Return what to show to a webhook: the most exact name counts; the usual port need not be named."""
        names = _names(f"{host}:{port}")
        if port == 443:
            names += _names(host)
        return next((self._users[name] for name in [*names, "*", ""] if name in self._users), ANONYMOUS)


def _names(target: str) -> list[str]:
    steps = target.split(".")
    return [target, *("*." + ".".join(steps[at:]) for at in range(1, len(steps)))]


def _identity(user: kubeconfig.ClientConfig) -> Identity:
    pair = KeyPair(user.cert_pem, user.key_pem) if user.cert_pem else None
    given = user.credentials
    if given.token:
        return Identity(f"Bearer {given.token}", client=pair)
    if given.token_file:
        return Identity(token_file=Path(given.token_file), client=pair)
    if given.username:
        encoded = base64.b64encode(f"{given.username}:{given.password}".encode()).decode()
        return Identity(f"Basic {encoded}", client=pair)
    return Identity(client=pair)
