"""From options to an auditor: reads the policy, opens the sinks. Called by ``ApiServer``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tiphys.apimachinery.clock import Clock
from tiphys.apiserver.audit import policy
from tiphys.apiserver.audit.auditor import Auditor
from tiphys.apiserver.audit.sinks import BatchOptions, LogFile, LogOptions, Sink, Webhook
from tiphys.apiserver.audit.truncate import TruncateOptions, Truncating
from tiphys.client import kubeconfig
from tiphys.client.transport import Call, TransportError


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """``--audit-*``; without a policy, or without a log or webhook, nothing is audited."""

    policy_file: Path | None = None
    log: LogOptions | None = None
    webhook_config_file: Path | None = None
    batch: BatchOptions = field(default_factory=BatchOptions)
    truncate_log: TruncateOptions | None = None
    truncate_webhook: TruncateOptions | None = None


def assemble(options: AuditOptions, clock: Clock) -> Auditor | None:
    """Return the auditor, None where auditing is off. Raises BadPolicy, OSError, ConfigError."""
    sinks: list[Sink] = []
    if options.log is not None:
        sinks.append(_cut(LogFile(options.log, clock), options.truncate_log))
    if options.webhook_config_file is not None:
        batch, cut = options.batch, options.truncate_webhook
        if cut is not None:
            batch = replace(batch, max_bytes=cut.max_batch_bytes)
        sinks.append(_cut(Webhook(Sender(options.webhook_config_file), batch), cut))
    if options.policy_file is None or not sinks:
        return None
    return Auditor(policy.parse(options.policy_file.read_text()), sinks, clock)


def _cut(sink: Sink, options: TruncateOptions | None) -> Sink:
    return Truncating(sink, options) if options is not None else sink


class Sender:
    """Posts to the server that a kubeconfig names."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self._transport = kubeconfig.load(path).transport()

    async def __call__(self, body: bytes) -> None:
        call = Call("POST", "", headers={"Content-Type": "application/json"}, body=body, timeout_s=30.0)
        try:
            answer = await self._transport.send(call)
        except TransportError as error:
            raise OSError(str(error)) from error
        if answer.status >= 300:
            raise OSError(f"the audit webhook answered {answer.status}")

    async def close(self) -> None:
        await self._transport.close()
