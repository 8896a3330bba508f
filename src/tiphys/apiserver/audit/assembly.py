"""From options to an auditor: reads the policy, opens the sinks. Called by ``ApiServer``."""

from __future__ import annotations

import logging
from dataclasses import field, replace
from pathlib import Path
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.go_text import quoted
from tiphys.apiserver.audit import policy
from tiphys.apiserver.audit.auditor import Auditor
from tiphys.apiserver.audit.batches import LOG_BATCHES, Batched, BatchOptions
from tiphys.apiserver.audit.sinks import LogFile, LogOptions, Sink
from tiphys.apiserver.audit.truncate import TruncateOptions, Truncating
from tiphys.apiserver.audit.webhook import RetryOptions, Webhook
from tiphys.apiserver.observe.certificate_counts import WEBHOOKS, CertificateCounts
from tiphys.apiserver.outgoing.remote import not_posted
from tiphys.client import kubeconfig
from tiphys.client.transport import Call, TransportError
from tiphys.wire.dial import Tunnel

log = logging.getLogger(__name__)
_QUERY: Final = "timeout=30s"
BATCH: Final = "batch"
BLOCKING: Final = "blocking"
STRICT: Final = "blocking-strict"
MODES: Final = (BATCH, BLOCKING, STRICT)
"""Nobody waits for events; answers do; and a request whose arrival cannot be noted is not served at all."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """``--audit-*``; without a policy, or without a log or webhook, nothing is audited."""

    policy_file: Path | None = None
    log: LogOptions | None = None
    webhook_config_file: Path | None = None
    log_mode: str = BLOCKING
    log_batches: BatchOptions = LOG_BATCHES
    webhook_mode: str = BATCH
    webhook_batches: BatchOptions = field(default_factory=BatchOptions)
    webhook_retries: RetryOptions = field(default_factory=RetryOptions)
    truncate_log: TruncateOptions | None = None
    truncate_webhook: TruncateOptions | None = None


def assemble(
    options: AuditOptions,
    clock: Clock,
    through: Tunnel | None = None,
    certificates: CertificateCounts | None = None,
) -> Auditor | None:
    """Return the auditor, None where auditing is off; ``certificates`` counts those of its webhook.

    Raises BadPolicy, ConfigError.
    """
    rules = _policy(options.policy_file) if options.policy_file is not None else None
    sinks = _log(options, clock)
    if options.webhook_config_file is not None:
        sinks += _webhook(options, clock, Sender(options.webhook_config_file, through, certificates))
    return Auditor(rules, sinks, clock) if rules is not None and sinks else None


def _policy(path: Path) -> policy.Policy:
    """Read the policy, whether there is a sink or not. Raises BadPolicy."""
    try:
        read = policy.parse(path.read_text())
    except OSError as error:
        doing = "read" if isinstance(error, IsADirectoryError) else "open"
        why = f"{doing} {path}: {(error.strerror or '').lower()}"
        text = f"loading audit policy file: failed to read file path {quoted(str(path))}: {why}"
        raise policy.BadPolicy(text) from error
    except policy.BadPolicy as error:
        raise policy.BadPolicy(f"loading audit policy file: {error}: from file {path}") from error
    if read.strange:
        log.warning("audit policy contains errors, which are passed over: %s", read.strange)
    return read


def _log(options: AuditOptions, clock: Clock) -> list[Sink]:
    if options.log is None:
        return []
    file = LogFile(options.log, clock, strict=options.log_mode == STRICT)
    sink: Sink = Batched(file, options.log_batches, clock) if options.log_mode == BATCH else file
    return [_cut(sink, options.truncate_log)]


def _webhook(options: AuditOptions, clock: Clock, sender: Sender) -> list[Sink]:
    hook = Webhook(sender, options.webhook_retries, strict=options.webhook_mode == STRICT)
    batched = options.webhook_mode == BATCH
    sink: Sink = Batched(hook, options.webhook_batches, clock) if batched else hook
    return [_cut(sink, options.truncate_webhook)]


def _cut(sink: Sink, options: TruncateOptions | None) -> Sink:
    return Truncating(sink, options) if options is not None else sink


class Sender:
    """Posts to the server that a kubeconfig names."""

    def __init__(
        self, path: Path, through: Tunnel | None = None, certificates: CertificateCounts | None = None
    ) -> None:
        """Raises ConfigError."""
        config = replace(kubeconfig.load(path), through=through)
        self._transport, self._url = config.transport(), config.server
        self._certificates = certificates

    async def __call__(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        call = Call("POST", "", query=_QUERY, headers=headers, body=body, timeout_s=30.0)
        try:
            answer = await self._transport.send(call)
        except TransportError as error:
            if self._certificates is not None:
                self._certificates.refused(WEBHOOKS, error)
            raise OSError(not_posted(self._url, _QUERY, error.__cause__ or error)) from error
        if self._certificates is not None and answer.certificate is not None:
            self._certificates.shown(WEBHOOKS, answer.certificate)
        if answer.status >= 300:
            raise OSError(f"the audit webhook answered {answer.status}")

    async def close(self) -> None:
        await self._transport.close()
