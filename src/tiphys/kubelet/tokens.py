"""Service account tokens bound to pods, fetched from the API and renewed before they end.

Source: TokenRequest API; tokens are renewed at 80% of their life, or after a day.
"""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import Clock, parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import SERVICE_ACCOUNTS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError

log = logging.getLogger(__name__)

_RENEW_PART = 0.8
_MAX_AGE = timedelta(hours=24)
_JITTER_S = 10.0

_Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class _Token:
    value: bytes
    renew_at: datetime
    expires_at: datetime


class Tokens:
    """A cache of tokens by pod, audience and lifetime. Values are never logged."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[_Key, _Token] = {}

    async def get(self, pod: Object, audience: str, expiration_s: int) -> bytes:
        """Return a token that holds, renewed when most of its life is over and the API answers.

        Raises StatusError, TransportError if none can be had.
        """
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        key = (meta["uid"], account, audience, expiration_s)
        known = self._tokens.get(key)
        now = self._clock.now()
        if known is not None and now < known.renew_at:
            return known.value
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_s,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        }
        try:
            answer = await self._client.post(SERVICE_ACCOUNTS, account, meta["namespace"], "token", request)
        except (StatusError, TransportError) as error:
            if known is None or now >= known.expires_at:
                raise
            log.warning("token not renewed pod=%s/%s error=%s", meta["namespace"], meta["name"], error)
            return known.value
        status = answer["status"]
        expires_at = parse_time(status["expirationTimestamp"])
        life = (expires_at - now) * _RENEW_PART
        renew_at = now + min(life, _MAX_AGE) - timedelta(seconds=random.random() * _JITTER_S)
        token = _Token(status["token"].encode(), renew_at, expires_at)
        self._tokens[key] = token
        return token.value

    def due(self, pod_uid: str) -> bool:
        """Whether a token of the pod is to be renewed now."""
        now = self._clock.now()
        return any(key[0] == pod_uid and now >= token.renew_at for key, token in self._tokens.items())

    def forget(self, pod_uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for key in [key for key in self._tokens if key[0] == pod_uid]:
            del self._tokens[key]
