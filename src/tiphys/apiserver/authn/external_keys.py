"""Keys of service account tokens that an external signer holds (``--service-account-signing-endpoint``).

Owns: when its public keys are fetched (at the start, as often as it says, for a key that is not known), and
putting a token together of claims and the signer's signature. The calls themselves are ``signer_client``'s.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import jwt
import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import InternalError
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apiserver.authn.serviceaccount import TokenKeys, TokenRequest, VerifiedToken
from tiphys.apiserver.authn.signer_client import FetchedKeys, SignerClient, SignerFailed, key_id_of
from tiphys.wire.jwt_keys import base64url

log = logging.getLogger(__name__)
_TIMEOUT_S: Final = 60.0
_AGAIN_S: Final = 10.0
MIN_S: Final = 600
_PREFIX: Final = "apiserver_externaljwt"
_CODE: Final = re.compile(r"rpc error: code = (\w+)")
_OK: Final = "OK"


class ExternalTokenKeys(TokenKeys):
    """``begin`` before anything else; ``run`` keeps the keys current."""

    def __init__(self, issuers: Sequence[str], signer: SignerClient, clock: Clock) -> None:
        super().__init__(issuers, None)
        self._signer = signer
        self._clock = clock
        self._due = 0.0
        self._asking = asyncio.Lock()
        self._answers = 0
        self._times = {"data": 0.0, "success": 0.0}
        self._fetches: Counter[str] = Counter()
        self._signed: Counter[str] = Counter()

    async def begin(self) -> None:
        """Fetch the keys and what the signer can do. Raises SignerFailed."""
        self.longest_s = await self._signer.longest_s(_TIMEOUT_S)
        if self.longest_s < MIN_S:
            raise SignerFailed(
                f"max token life supported by external-jwt-signer ({self.longest_s}s) is less than "
                f"acceptable (min {MIN_S}s)"
            )
        await self._sync()

    async def run(self) -> None:
        """Fetch the keys again and again, as often as the signer said, until cancelled."""
        while True:
            await asyncio.sleep(max(self._due - self._clock.monotonic(), 0.0))
            try:
                await self._sync()
            except SignerFailed as error:
                log.error("keys of service account tokens not fetched error=%s", error)
                self._due = self._clock.monotonic() + _AGAIN_S

    async def close(self) -> None:
        await self._signer.close()

    @property
    def max_age_s(self) -> int:
        return max(int(self._due - self._clock.monotonic()), 0)

    async def issue(self, request: TokenRequest, now: datetime) -> str:
        """Have a token signed. Raises InternalError."""
        middle = base64url(orjson.dumps(self.claims(request, now)))
        try:
            header, signature = await self._sign(middle)
        except SignerFailed as error:
            self._signed[_code_of(error)] += 1
            raise InternalError(f"Internal error occurred: failed to generate token: {error}") from error
        self._signed[_OK] += 1
        return f"{header}.{middle}.{signature}"

    async def _sign(self, middle: str) -> tuple[str, str]:
        try:
            header, signature = await self._signer.sign(middle)
        except SignerFailed as error:
            raise SignerFailed(f"while signing jwt: {error}") from error
        try:
            kid = key_id_of(header)
            if kid not in self._public:
                await self._try_sync()
        except SignerFailed as error:
            raise SignerFailed(f"while validating header: {error}") from error
        if kid in self._hidden:
            raise SignerFailed(
                f"while validating header: key used for signing JWT (kid: {kid}) is excluded from OIDC "
                "discovery docs"
            )
        if not signature:
            raise SignerFailed("empty signature returned")
        return header, signature

    async def check(self, token: str) -> VerifiedToken | None:
        """As ``verify``; keys are fetched where the token names one that is not known."""
        if self._is_ours(token) and self._key_of(token) not in self._public:
            await self._try_sync()
        return self.verify(token)

    def _key_of(self, token: str) -> str:
        return str(jwt.get_unverified_header(token).get("kid") or "")

    async def _try_sync(self) -> None:
        try:
            await self._sync()
        except SignerFailed as error:
            log.error("keys of service account tokens not fetched error=%s", error)

    async def _sync(self) -> None:
        """Fetch the keys; who comes meanwhile waits for the same answer. Raises SignerFailed."""
        asked = self._answers
        async with self._asking:
            if asked == self._answers:
                await self._fetch()

    async def _fetch(self) -> None:
        try:
            found = await self._signer.fetch_keys(_TIMEOUT_S)
        except SignerFailed as error:
            self._fetches[_code_of(error)] += 1
            raise
        finally:
            self._answers += 1
        self._fetches[_OK] += 1
        self._take(found)

    def _take(self, found: FetchedKeys) -> None:
        if list(found.keys) != list(self._public) or found.hidden != self._hidden:
            log.info("keys of service account tokens ids=%s", ",".join(found.keys))
        self._public, self._hidden = found.keys, found.hidden
        self.forget_verified()  # their key may be gone
        self._due = self._clock.monotonic() + found.refresh_s
        self._times = {"data": found.fetched_at_s, "success": self._clock.now().timestamp()}

    def collect(self) -> Iterable[Metric]:
        """Yield what is counted, under upstream's names."""
        yield from self._counted(
            "fetch_keys_request", "Total attempts at syncing supported JWKs", self._fetches
        )
        yield from self._counted("sign_request", "Total attempts at signing JWT", self._signed)
        for name, text in (
            ("data", "last successful FetchKeys data_timestamp value returned by the external signer"),
            ("success", "last successful FetchKeys request"),
        ):
            gauge = f"{_PREFIX}_fetch_keys_{name}_timestamp"
            yield GaugeMetricFamily(
                gauge, f"[ALPHA] Unix Timestamp in seconds of the {text}", self._times[name]
            )

    def _counted(self, name: str, text: str, counts: Counter[str]) -> Iterator[Metric]:
        family = CounterMetricFamily(f"{_PREFIX}_{name}", f"[ALPHA] {text}", labels=["code"])
        family.add_all(counts)
        yield family


def _code_of(error: SignerFailed) -> str:
    """Return the signer's code of a failure, as metrics show it; of what failed here there is none."""
    found = _CODE.search(str(error))
    return found[1] if found else "unknown-non-grpc"
