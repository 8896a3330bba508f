"""Asks one webhook about one write over HTTPS.

Owns: side effects under dry run, and what is said of answers that are none. Refuses: the connection
(``webhook_call``), choosing webhooks and acting on verdicts (``plugins``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from tiphys.apimachinery import go_json
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError, TiphysError
from tiphys.apimachinery.tracing import step
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown
from tiphys.apiserver.admission.webhooks import review
from tiphys.apiserver.admission.webhooks.credentials import Credentials
from tiphys.apiserver.admission.webhooks.hook import Hook
from tiphys.apiserver.filters.flights import FLIGHT, Flight
from tiphys.apiserver.observe.metrics import Aside
from tiphys.apiserver.outgoing.typed_answers import Undecodable
from tiphys.apiserver.outgoing.webhook_call import NoAnswer, post

log = logging.getLogger(__name__)


_BAD_REQUEST, _INTERNAL, _UNAVAILABLE = 400, 500, 503
_LAST_CODE = 999
_UNREACHED = {True: _UNAVAILABLE, False: _BAD_REQUEST}
"""What counts as the answer of a mutating or validating webhook that gives none."""

_NO_DEADLINE_S = 3600.0
_STEPS = {True: "Call mutating webhook", False: "Call validating webhook"}


class CallFailed(TiphysError):
    """The webhook gave no verdict; ``failurePolicy`` decides what that means. ``code`` is for the counts."""

    def __init__(self, hook: Hook, why: str, code: int = _UNAVAILABLE) -> None:
        super().__init__(f'failed calling webhook "{hook.name}": {why}')
        self.code = code


@dataclass(slots=True)
class Outcome:
    """What has come of asking a webhook; ``refusal`` is what a verdict of no means to the client."""

    refusal: StatusError | None = None


@contextmanager
def counting(hook: Hook, attributes: Attributes, *, mutating: bool) -> Iterator[Outcome]:
    """Count a webhook that is asked, and heeded, in this context."""
    backend, outcome = attributes.call.backend, Outcome()
    counts, began = backend.admission.times.hooks, backend.clock.monotonic()
    about = (hook.name, "admit" if mutating else "validating", attributes.operation)
    took = 0.0
    try:
        try:
            yield outcome
        finally:
            took = backend.clock.monotonic() - began
            _set_aside(attributes, took, mutating=mutating)
    except CallFailed as error:
        counts.failed(*about, took, error.code, ignored=hook.ignores_failure)
        raise
    except StatusError:
        counts.broken(*about, took)
        raise
    code = 0 if outcome.refusal is None else outcome.refusal.status_code
    counts.answered(*about, took, refused_with=code)


def _set_aside(attributes: Attributes, took_s: float, *, mutating: bool) -> None:
    """Note how long a request was in others' hands."""
    aside = Aside.of(attributes.call.request.scope)
    if mutating:
        aside.mutating_s += took_s
    else:
        aside.validating_s = max(aside.validating_s, took_s)


async def ask(
    hook: Hook, attributes: Attributes, shown: Shown, credentials: Credentials, *, mutating: bool
) -> review.Verdict:
    """Return a webhook's verdict.

    Raises:
        CallFailed: there is none. BadRequest: dry run, and the webhook may have side effects.
    """
    if attributes.dry_run and not hook.without_side_effects:
        raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
    version = hook.review_version
    if version is None:
        why = f"webhook does not accept known AdmissionReview versions ({', '.join(review.VERSIONS)})"
        raise CallFailed(hook, f"could not create admission objects: {why}", _BAD_REQUEST)
    uid, asked = review.question(attributes, shown, version)
    question = orjson.dumps(asked)
    if attributes.call.resource.has_fractions:
        question = go_json.written(question)
    try:
        config = hook.spec.get("clientConfig") or {}
        with step(_STEPS[mutating], _named(hook, attributes, uid)):
            body = await post(
                attributes.call.backend, config, question, timeout_s=_patience_s(hook, attributes),
                identify=credentials.of,
            )  # fmt: skip
    except NoAnswer as error:
        for key, value in error.audited:
            attributes.annotate(key, value)
        code = error.status or _UNREACHED[mutating]
        raise CallFailed(hook, f"failed to call webhook: {error}", code) from error
    try:
        return review.read_answer(body, uid, version, mutating=mutating)
    except Undecodable as error:
        raise CallFailed(hook, f"failed to call webhook: {error}", _UNREACHED[mutating]) from error
    except review.BadAnswer as error:
        raise CallFailed(hook, f"received invalid webhook response: {error}") from error


def _named(hook: Hook, attributes: Attributes, uid: str) -> dict[str, str]:
    about = attributes.about
    return {
        "configuration": hook.configuration, "webhook": hook.name, "resource": about.plural,
        "subresource": about.subresource, "operation": about.operation, "UID": uid,
    }  # fmt: skip


def _patience_s(hook: Hook, attributes: Attributes) -> int:
    """Return what time a webhook has, in whole seconds: its own, or what is left to the request."""
    return max(min(hook.timeout_s, math.ceil(_left_s(attributes))), 1)


def is_late(attributes: Attributes) -> bool:
    """Tell whether the request's time is over: its answer has been given without this."""
    return _left_s(attributes) <= 0


def _left_s(attributes: Attributes) -> float:
    call = attributes.call
    flight: Flight | None = call.request.scope.get(FLIGHT)
    return _NO_DEADLINE_S if flight is None else flight.deadline - call.backend.clock.monotonic()


def refusal(hook: Hook, verdict: review.Verdict) -> StatusError:
    """Return the error of a write that a webhook has denied, with the code and reason that it gave."""
    status = verdict.status or {}
    denied = f'admission webhook "{hook.name}" denied the request'
    why = status.get("message") or status.get("reason")
    code = status.get("code")
    return StatusError(
        f"{denied}: {why}" if why else f"{denied} without explanation",
        code=_sent(code),
        reason=str(status.get("reason") or ""),
        details=status.get("details") or None,
    )


def _sent(code: object) -> int:
    """Return the code of a refusal: never one of success, nor what HTTP has no place for."""
    if not isinstance(code, int) or code < _BAD_REQUEST:
        return _BAD_REQUEST
    return code if code <= _LAST_CODE else _INTERNAL


def internal(error: CallFailed) -> StatusError:
    """Return the error of a write whose webhook failed."""
    return InternalError.of(error)
