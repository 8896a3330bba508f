"""Makes the authenticator that the options describe, in upstream's order of tokens, and the keys of our own.

Owns: which kinds of tokens there are, and taking over a changed authentication configuration while serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn import jwt_config, jwt_counts
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authn.bootstraptoken import BootstrapTokens
from tiphys.apiserver.authn.expressions import compile_expression
from tiphys.apiserver.authn.external_keys import ExternalTokenKeys
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable
from tiphys.apiserver.authn.jwks import ASKED_AGAIN_S
from tiphys.apiserver.authn.jwt_config import AuthenticationConfig, JwtConfig
from tiphys.apiserver.authn.jwt_counts import KeyFetches
from tiphys.apiserver.authn.jwt_tokens import JwtTokens
from tiphys.apiserver.authn.legacy_tokens import MarkUsed
from tiphys.apiserver.authn.lookup import Lookup
from tiphys.apiserver.authn.serviceaccount import TokenKeys
from tiphys.apiserver.authn.serviceaccount_tokens import ServiceAccountTokens
from tiphys.apiserver.authn.signer_client import SignerClient, SignerFailed
from tiphys.apiserver.authn.token_cache import TokenCacheCounts
from tiphys.apiserver.authn.tokens import AnyAudience, Authenticated, StaticTokens, TokenAuthenticator
from tiphys.apiserver.authn.webhook import WebhookTokens
from tiphys.apiserver.observe.certificate_counts import CertificateCounts
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.outgoing.remote import Remote, check_version
from tiphys.apiserver.reloading import Reloads
from tiphys.wire.pki import make_signing_key

log = logging.getLogger(__name__)
_RESET = (
    "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false. "
    "You should use a different authorizer"
)


class JwtIssuers:
    """Every issuer that is believed; the file that names them may change."""

    def __init__(
        self,
        issuers: Sequence[JwtConfig],
        clock: Clock,
        path: Path | None = None,
        own: Sequence[str] = (),
        options: ApiServerOptions | None = None,
        *,
        cached: TokenCacheCounts | None = None,
    ) -> None:
        options = options or ApiServerOptions()
        self._cached = cached or TokenCacheCounts()
        self._clock = clock
        self._path = path
        self._own = tuple(own)
        self._egress, self._gates = options.egress, options.feature_gates
        self._read = path.read_text() if path is not None else ""
        self._reloads = Reloads("authentication", clock)
        if path is not None:
            self._reloads.began(self._read)
        self._counts: dict[str, KeyFetches] = {}
        self._by_config = {config: self._made(config) for config in issuers}

    def _made(self, config: JwtConfig) -> JwtTokens:
        counts = self._counts.setdefault(config.url, KeyFetches(config.url, self._clock))
        through = self._egress.named(config.egress)
        return JwtTokens(config, self._clock, counts=counts, through=through, cached=self._cached)

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        for issuer in tuple(self._by_config.values()):
            found = await issuer.authenticate_token(token, audiences)
            if found is not None:
                return found
        return None

    async def close(self) -> None:
        for issuer in self._by_config.values():
            await issuer.close()

    async def reload(self) -> bool:
        """Take over a changed file; tell whether it was. Issuers that stay keep their keys.

        Before it holds, all must have told where their keys lie; it is tried again until they have.
        """
        if self._path is None:
            return False
        read = self._read
        try:
            read = self._path.read_text()
            if read == self._read:
                return False
            config = jwt_config.parse(read, compile_expression, self._own, str(self._path), self._gates)
            before = self._by_config
            issuers = {one: before.get(one) or self._made(one) for one in config.issuers}
            await asyncio.gather(*(one.ready() for one in issuers.values()))
        except (OSError, ValueError, IssuerUnavailable) as error:
            if isinstance(error, ValueError):
                self._read = read  # it will not be less faulty when it is read again
            self._reloads.failed()
            log.error("authentication configuration not reloaded path=%s why=%s", self._path, error)
            return False
        self._read, self._by_config = read, issuers
        named = {one.url for one in issuers}
        self._counts = {url: counts for url, counts in self._counts.items() if url in named}
        self._reloads.succeeded(read)
        log.info("authentication configuration reloaded path=%s", self._path)
        return True

    async def run(self) -> None:
        """Ask those issuers with which the server began where their keys lie, until they tell or go."""
        async with asyncio.TaskGroup() as group:
            for config, issuer in self._by_config.items():
                group.create_task(self._learn(config, issuer))

    async def _learn(self, config: JwtConfig, issuer: JwtTokens) -> None:
        while self._by_config.get(config) is issuer:
            with contextlib.suppress(IssuerUnavailable):  # it is logged where it is known
                await issuer.ready()
                break
            await asyncio.sleep(ASKED_AGAIN_S)

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of the file, and of the issuers and their keys."""
        if self._path is not None:
            yield from self._reloads.collect()
        yield from jwt_counts.collect(self._counts.values())


def build(
    options: ApiServerOptions,
    keys: TokenKeys,
    lookup: Lookup,
    mark_used: MarkUsed,
    clock: Clock,
    *,
    certificates: CertificateCounts | None = None,
) -> Authenticator:
    """Return the authenticator; ``certificates`` counts those of its webhook.

    Raises BadConfiguration, kubeconfig.ConfigError, OSError.
    """
    audiences = options.api_audiences or keys.issuers
    config = AuthenticationConfig()
    path = options.authentication_config
    if path is not None:
        config = jwt_config.parse(
            path.read_text(), compile_expression, keys.issuers, str(path), options.feature_gates
        )
    issuers = [*config.issuers, *([options.oidc] if options.oidc is not None else [])]
    cached = TokenCacheCounts()
    tokens: list[TokenAuthenticator] = []
    if options.tokens:
        tokens.append(AnyAudience(StaticTokens(options.tokens), audiences))
    tokens.append(
        ServiceAccountTokens(
            keys, audiences, lookup, clock, mark_used, looks_up=options.service_account_lookup
        )
    )
    if options.enable_bootstrap_token_auth:
        tokens.append(AnyAudience(BootstrapTokens(lookup, clock), audiences))
    if issuers or path is not None:
        tokens.append(
            AnyAudience(JwtIssuers(issuers, clock, path, keys.issuers, options, cached=cached), audiences)
        )
    tokens += _webhook(options, audiences, clock, cached, certificates)
    return Authenticator(
        tokens,
        audiences,
        anonymous=_strangers(config, options),
        front_proxy=options.request_header,
        client_ca=options.client_ca,
        clock=clock,
        cached=cached,
    )


def _webhook(
    options: ApiServerOptions,
    audiences: tuple[str, ...],
    clock: Clock,
    counts: TokenCacheCounts,
    certificates: CertificateCounts | None,
) -> list[TokenAuthenticator]:
    """Return the webhook that reviews tokens, if there is one. Raises kubeconfig.ConfigError, OSError."""
    path, version = options.token_webhook_config, options.token_webhook_version
    if path is None:
        return []
    check_version("authentication webhook", version)
    remote = Remote.from_kubeconfig(path, through=options.egress.controlplane, certificates=certificates)
    ttl_s = options.token_webhook_cache_ttl_s
    return [WebhookTokens(remote, audiences, clock, version=version, cache_ttl_s=ttl_s, counts=counts)]


def _strangers(config: AuthenticationConfig, options: ApiServerOptions) -> Anonymous:
    """Return where requests without credentials are served: never where everybody may do everything.

    Raises BadConfiguration.
    """
    said = jwt_config.who_is_nobody(config, options.anonymous_auth)
    if config.anonymous is None and said.enabled and "AlwaysAllow" in options.authorization_modes:
        log.warning(_RESET)
        return Anonymous(enabled=False)
    return said


def token_keys(options: ApiServerOptions, clock: Clock) -> TokenKeys:
    """Return the keys of service account tokens: ours, or those of a signer outside."""
    issuers = (options.service_account_issuer, *options.further_service_account_issuers)
    if options.service_account_signing_endpoint:
        return ExternalTokenKeys(issuers, SignerClient(options.service_account_signing_endpoint), clock)
    own = options.service_account_signing_key or make_signing_key()
    return TokenKeys(issuers, own, options.service_account_public_keys)


def check_lifetime(options: ApiServerOptions, keys: TokenKeys) -> None:
    """Raises SignerFailed where tokens may last longer than their signer supports."""
    most_s, longest_s = options.service_account_max_token_expiration_s, keys.longest_s
    if longest_s and most_s > longest_s:
        raise SignerFailed(
            "service-account-max-token-expiration cannot be set longer than the token expiration supported "
            f"by service-account-signing-endpoint: {go_duration(most_s)} > {go_duration(longest_s)}"
        )
