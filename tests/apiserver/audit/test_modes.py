"""What a request notices of its events: nothing, a wait, or that it is not served.

Source: upstream's tests of its audit options and of its audit filter.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.assembly import BATCH, BLOCKING, STRICT, AuditOptions, assemble
from tiphys.apiserver.audit.batches import LOG_BATCHES, Batched, BatchOptions
from tiphys.apiserver.audit.sinks import LogFile, LogOptions
from tiphys.apiserver.audit.truncate import TruncateOptions, Truncating
from tiphys.apiserver.audit.webhook import RetryOptions, Webhook
from tiphys.cmd.apiserver import apiserver
from tiphys.cmd.audit_flags import audit_from
from tiphys.cmd.component import FlagError
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

MAPS = "/api/v1/namespaces/default/configmaps"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def policy(folder: Path) -> Path:
    rules = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
    return write(folder / "policy.yaml", yaml.safe_dump(rules))


def kubeconfig(folder: Path, port: int = 1) -> Path:
    return write(
        folder / "kubeconfig",
        f"clusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n"
        "current-context: a\n",
    )


BLOCKED = LogOptions("/proc/1/none/audit.log")
"""No log can be written there."""


@pytest.mark.parametrize(
    ("mode", "status"), [(BLOCKING, 200), (STRICT, 500), (BATCH, 200)], ids=[BLOCKING, STRICT, BATCH]
)
async def test_a_log_that_cannot_be_written(tmp_path: Path, serving: Any, mode: str, status: int) -> None:
    async with serving(audit=AuditOptions(policy(tmp_path), BLOCKED, log_mode=mode)) as api:
        answer = await api("GET", MAPS + "?limit=1&x=<a>")
        assert answer.status == status
        for _ in range(3):  # a batch goes on by itself
            await asyncio.sleep(0)
        text = (await api("GET", "/metrics")).raw if status == 200 else b""
    if status == 500:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.raw == (
            b'Internal Server Error: "/api/v1/namespaces/default/configmaps?limit=1&amp;x=&lt;a&gt;": '
            b"failed to store audit event\n"
        )
    else:
        assert b'apiserver_audit_error_total{plugin="log"}' in text
        assert b"apiserver_audit_requests_rejected_total 0" in text


@pytest.mark.parametrize(
    ("mode", "answers", "status", "calls"),
    [
        ("blocking waits", 200, 200, 2), ("blocking-strict waits", 200, 200, 2),
        ("blocking, refused", 500, 200, 2), ("blocking-strict, refused", 500, 500, 1),
    ],
)  # fmt: skip
async def test_a_webhook_that_answers_first(
    tmp_path: Path, serving: Any, mode: str, answers: int, status: int, calls: int
) -> None:
    seen: list[str] = []

    async def answer(request: Request) -> Response:
        seen.append(request.path)
        assert request.headers["accept"] == "application/json, */*"
        assert request.headers["content-type"] == "application/json"
        return Response(answers)

    async with serve(answer) as server:
        options = AuditOptions(
            policy(tmp_path), None, kubeconfig(tmp_path, server.port),
            webhook_mode=mode.split(",")[0].split()[0], webhook_retries=RetryOptions(0, 0),
        )  # fmt: skip
        async with serving(audit=options) as api:
            found = await api("GET", MAPS)
    assert (found.status, len(seen)) == (status, calls)


def shape(sink: object) -> str:
    """Describe a sink as upstream does."""
    match sink:
        case Truncating():
            return f"truncate<{shape(sink._sink)}>"
        case Batched():
            return f"buffered<{shape(sink._backend)}>"
        case LogFile() | Webhook():
            return sink.name if sink.strict else f"ignoreErrors<{sink.name}>"
    raise AssertionError(sink)


SHAPES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {}, []),
    ("a log", {"log": LogOptions("-")}, ["ignoreErrors<log>"]),
    ("a webhook", {"hook": True}, ["buffered<ignoreErrors<webhook>>"]),
    ("a strict webhook", {"hook": True, "webhook_mode": STRICT}, ["webhook"]),
    ("both", {"hook": True, "log": LogOptions("-")},
     ["ignoreErrors<log>", "buffered<ignoreErrors<webhook>>"]),
    ("the other way round", {"hook": True, "log": LogOptions("-"), "log_mode": BATCH,
      "webhook_mode": BLOCKING},
     ["buffered<ignoreErrors<log>>", "ignoreErrors<webhook>"]),
    ("cut", {"hook": True, "truncate_webhook": TruncateOptions()},
     ["truncate<buffered<ignoreErrors<webhook>>>"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
async def test_sinks(tmp_path: Path, given: dict[str, Any], expected: list[str]) -> None:
    hook = kubeconfig(tmp_path) if given.pop("hook", False) else None
    auditor = assemble(AuditOptions(policy(tmp_path), webhook_config_file=hook, **given), FakeClock())
    assert [shape(sink) for sink in (auditor._sinks if auditor else ())] == expected
    if auditor is not None:
        await auditor.close()


async def test_without_a_policy_nothing_is_kept() -> None:
    assert assemble(AuditOptions(log=LogOptions("-")), FakeClock()) is None


def options(*line: str) -> AuditOptions:
    with apiserver.make_context("x", list(line)) as ctx:
        return audit_from(dict(ctx.params))


def test_the_usual_values() -> None:
    found = options()
    assert (found.log_mode, found.webhook_mode) == (BLOCKING, BATCH)
    assert found.log_batches == replace(LOG_BATCHES, max_wait_s=0)
    assert (LOG_BATCHES.throttle, LOG_BATCHES.qps, LOG_BATCHES.burst) == (False, 0, 0)
    assert found.webhook_batches == BatchOptions()
    assert (found.truncate_log, found.truncate_webhook) == (None, None)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ((), (366, 100, 100)),
        (("maxage=0", "maxbackup=0", "maxsize=0"), (0, 0, 0)),
        (("maxsize=7",), (366, 100, 7)),
    ],
)
def test_what_is_kept_of_logs(line: tuple[str, ...], kept: tuple[int, int, int]) -> None:
    log = options("--audit-log-path=-", *(f"--audit-log-{flag}" for flag in line)).log
    assert log is not None
    assert (log.max_age_days, log.max_backups, log.max_size_mib) == kept


def test_values() -> None:
    found = options(
        "--audit-log-mode=batch", "--audit-log-batch-max-size=7", "--audit-webhook-batch-throttle-qps=2.5",
        "--audit-webhook-batch-throttle-burst=3", "--audit-webhook-batch-throttle-enable=false",
        "--audit-webhook-batch-max-wait=1s", "--audit-webhook-initial-backoff=2s", "--audit-log-path=-",
        "--audit-log-compress", "--audit-log-truncate-enabled", "--audit-log-truncate-max-event-size=5",
    )  # fmt: skip
    assert (found.log_mode, found.log_batches.max_size) == (BATCH, 7)
    hook = found.webhook_batches
    assert (hook.qps, hook.burst, hook.throttle, hook.max_wait_s) == (2.5, 3, False, 1.0)
    assert found.webhook_retries == RetryOptions(backoff_s=2.0)
    assert found.log is not None
    assert found.log.compress
    assert found.truncate_log == TruncateOptions(5)


LOG, HOOK = "--audit-log-path=-", "--audit-webhook-config-file=/dev/null"
REFUSED: list[tuple[list[str], str]] = [
    ([LOG, "--audit-log-format=foo"], 'invalid audit log format foo, allowed formats are "legacy,json"'),
    ([LOG, "--audit-log-mode=foo"],
     'invalid audit log mode foo, allowed modes are "batch,blocking,blocking-strict"'),
    ([LOG, "--audit-log-mode=batch", "--audit-log-batch-buffer-size=-3"],
     "invalid audit batch log buffer size -3, must be a positive number"),
    ([LOG, "--audit-log-version=audit.k8s.io/v1beta1"],
     'invalid group version, allowed versions are ["audit.k8s.io/v1"]'),
    ([LOG, "--audit-log-maxage=-1", "--audit-log-maxsize=-2"],
     "[--audit-log-maxage -1 can't be a negative number, --audit-log-maxsize -2 can't be a negative number]"),
    ([HOOK, "--audit-webhook-mode=foo"],
     'invalid audit webhook mode foo, allowed modes are "batch,blocking,blocking-strict"'),
    ([LOG, "--audit-log-mode=batch", "--audit-log-batch-throttle-enable"],
     "invalid audit batch log throttle QPS 0, must be a positive number"),
    ([HOOK, "--audit-webhook-batch-throttle-qps=-1"],
     "invalid audit batch webhook throttle QPS -1, must be a positive number"),
    ([HOOK, "--audit-webhook-batch-max-size=0"],
     "invalid audit batch webhook max batch size 0, must be a positive number"),
    ([HOOK, "--audit-webhook-truncate-max-event-size=-1"],
     "invalid audit truncate webhook max event size -1, must be a positive number"),
    ([HOOK, "--audit-webhook-truncate-max-event-size=2", "--audit-webhook-truncate-max-batch-size=1"],
     "invalid audit truncate webhook max batch size 1, must be greater than max event size (2)"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "text"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_values_that_make_no_sense(line: list[str], text: str) -> None:
    with pytest.raises(FlagError) as caught:
        options(*line)
    assert caught.value.message == text


@pytest.mark.parametrize("line", [line[1:] for line, _ in REFUSED if line[0] == HOOK])
def test_flags_of_a_sink_that_is_not_asked_for_are_not_read(line: list[str]) -> None:
    options(*line)
