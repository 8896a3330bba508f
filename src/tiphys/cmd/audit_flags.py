"""The API server's ``--audit-*`` flags: what they are, which values are refused, in upstream's words.

Owns: flags into ``AuditOptions``. A sink that is not asked for has its flags unread, as upstream has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from tiphys.apiserver.audit.assembly import BATCH, BLOCKING, MODES, AuditOptions
from tiphys.apiserver.audit.batches import LOG_BATCHES, BatchOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.audit.truncate import TruncateOptions
from tiphys.apiserver.audit.webhook import RetryOptions
from tiphys.cmd.component import FlagError
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import go_bool

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_FORMATS: Final = ("legacy", "json")
_VERSION: Final = "audit.k8s.io/v1"
_USUAL: Final = {"log": (BLOCKING, LOG_BATCHES), "webhook": (BATCH, BatchOptions())}
_MAX_BATCH_BYTES: Final = 10 * 1024 * 1024
_Flag = Callable[[Callable[..., None]], Callable[..., None]]


def audit_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of the policy, the log and the webhook."""
    own: tuple[_Flag, ...] = (
        click.option("--audit-policy-file", type=click.Path(path_type=Path)),
        click.option("--audit-log-path", default="", help="a file, or - for standard output"),
        click.option("--audit-log-format", default="json", show_default=True, help="json or legacy"),
        click.option(
            "--audit-log-maxage", type=int, default=366, show_default=True, help="days; 0: for ever"
        ),
        click.option("--audit-log-maxbackup", type=int, default=100, show_default=True, help="files; 0: all"),
        click.option(
            "--audit-log-maxsize", type=int, default=100, show_default=True, help="MiB; 0: without end"
        ),
        go_bool("--audit-log-compress", default=False, help="gzip files that are set aside"),
        click.option("--audit-webhook-config-file", type=_FILE),
        click.option("--audit-webhook-initial-backoff", type=DURATION, default="10s", show_default=True),
    )
    for flag in reversed((*own, *_sink_flags("log"), *_sink_flags("webhook"))):
        command = flag(command)
    return command


def _sink_flags(kind: str) -> Iterator[_Flag]:
    """Yield the flags that both sinks have."""
    mode, batches = _USUAL[kind]
    cut, batch = TruncateOptions(), f"--audit-{kind}-batch"

    def option(name: str, default: object, **more: Any) -> Any:
        return click.option(name, default=default, show_default=True, **more)

    yield option(f"--audit-{kind}-mode", mode, help=", ".join(MODES))
    yield option(f"--audit-{kind}-version", _VERSION)
    yield option(f"{batch}-buffer-size", batches.buffer)
    yield option(f"{batch}-max-size", batches.max_size)
    yield option(f"{batch}-max-wait", "30s" if kind == "webhook" else "0s", type=DURATION)
    yield go_bool(f"{batch}-throttle-enable", default=batches.throttle, help="Limit batches in a second.")
    yield option(f"{batch}-throttle-qps", batches.qps)
    yield option(f"{batch}-throttle-burst", batches.burst)
    yield go_bool(f"--audit-{kind}-truncate-enabled", default=False, help="Cut events that are too large.")
    yield option(f"--audit-{kind}-truncate-max-event-size", cut.max_event_bytes)
    yield option(
        f"--audit-{kind}-truncate-max-batch-size", _MAX_BATCH_BYTES,
        help="must be no less than the size of an event; batches are made of events that were cut",
    )  # fmt: skip


def audit_from(flags: dict[str, Any]) -> AuditOptions:
    """Turn the flags into options. Raises FlagError with every fault."""
    faults = [*_faults(flags, "log"), *_log_faults(flags)] if flags["audit_log_path"] else []
    if flags["audit_webhook_config_file"]:
        faults += _faults(flags, "webhook")
    if faults:
        raise FlagError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    log_options = None
    if flags["audit_log_path"]:
        log_options = LogOptions(
            flags["audit_log_path"], flags["audit_log_format"], flags["audit_log_maxage"],
            flags["audit_log_maxbackup"], flags["audit_log_maxsize"],
            flags["audit_log_compress"],
        )  # fmt: skip
    return AuditOptions(
        flags["audit_policy_file"],
        log_options,
        flags["audit_webhook_config_file"],
        log_mode=flags["audit_log_mode"],
        log_batches=_batches(flags, "log"),
        webhook_mode=flags["audit_webhook_mode"],
        webhook_batches=_batches(flags, "webhook"),
        webhook_retries=RetryOptions(backoff_s=flags["audit_webhook_initial_backoff"]),
        truncate_log=_truncation(flags, "log"),
        truncate_webhook=_truncation(flags, "webhook"),
    )


def _batches(flags: dict[str, Any], kind: str) -> BatchOptions:
    start = f"audit_{kind}_batch_"
    return BatchOptions(
        buffer=flags[start + "buffer_size"],
        max_size=flags[start + "max_size"],
        max_wait_s=flags[start + "max_wait"],
        throttle=flags[start + "throttle_enable"],
        qps=flags[start + "throttle_qps"],
        burst=flags[start + "throttle_burst"],
        together=kind == "webhook",
    )


def _truncation(flags: dict[str, Any], kind: str) -> TruncateOptions | None:
    if not flags[f"audit_{kind}_truncate_enabled"]:
        return None
    return TruncateOptions(flags[f"audit_{kind}_truncate_max_event_size"])


def _faults(flags: dict[str, Any], kind: str) -> Iterator[str]:
    """Yield what is wrong with the flags that both sinks have."""
    mode = flags[f"audit_{kind}_mode"]
    if mode not in MODES:
        yield f'invalid audit {kind} mode {mode}, allowed modes are "{",".join(MODES)}"'
    elif mode == BATCH and (fault := _batch_fault(flags, kind)):
        yield fault
    event, batch = (flags[f"audit_{kind}_truncate_max_{part}_size"] for part in ("event", "batch"))
    if event <= 0:
        yield f"invalid audit truncate {kind} max event size {event}, must be a positive number"
    elif batch < event:
        yield (
            f"invalid audit truncate {kind} max batch size {batch}, must be greater than "
            f"max event size ({event})"
        )
    if flags[f"audit_{kind}_version"] != _VERSION:
        yield f'invalid group version, allowed versions are ["{_VERSION}"]'


def _batch_fault(flags: dict[str, Any], kind: str) -> str:
    """Return the first thing that is wrong with a sink's batches."""
    parts = [("buffer_size", "buffer size"), ("max_size", "max batch size")]
    if flags[f"audit_{kind}_batch_throttle_enable"]:
        parts += [("throttle_qps", "throttle QPS"), ("throttle_burst", "throttle burst")]
    for name, words in parts:
        value = flags[f"audit_{kind}_batch_{name}"]
        if value <= 0:
            return f"invalid audit batch {kind} {words} {value:g}, must be a positive number"
    return ""


def _log_faults(flags: dict[str, Any]) -> Iterator[str]:
    form = flags["audit_log_format"]
    if form not in _FORMATS:
        yield f'invalid audit log format {form}, allowed formats are "{",".join(_FORMATS)}"'
    for name in ("maxage", "maxbackup", "maxsize"):
        value = flags[f"audit_log_{name}"]
        if value < 0:
            yield f"--audit-log-{name} {value} can't be a negative number"
