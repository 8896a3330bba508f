"""Asks one webhook about one write over HTTPS.

Owns: side effects under dry run, and what is said of answers that are none. Refuses: the connection
(``webhook_call``), choosing webhooks and acting on verdicts (``plugins``).
"""

from __future__ import annotations

import logging

import orjson

from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError, TiphysError
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown
from tiphys.apiserver.admission.webhooks import review
from tiphys.apiserver.admission.webhooks.credentials import Credentials
from tiphys.apiserver.admission.webhooks.hook import Hook
from tiphys.apiserver.webhook_call import NoAnswer, post

log = logging.getLogger(__name__)


class CallFailed(TiphysError):
    """The webhook gave no verdict; ``failurePolicy`` decides what that means."""


async def ask(
    hook: Hook, attributes: Attributes, shown: Shown, credentials: Credentials, *, mutating: bool
) -> review.Verdict:
    """Return a webhook's verdict, and count it. Raises what ``_ask`` raises."""
    backend = attributes.call.backend
    counts, began = backend.admission.times.hooks, backend.clock.monotonic()
    about = (hook.name, "admit" if mutating else "validating", attributes.operation)
    try:
        verdict = await _ask(hook, attributes, shown, credentials, mutating=mutating)
    except CallFailed:
        counts.failed(*about, backend.clock.monotonic() - began, ignored=hook.ignores_failure)
        raise
    code = 0 if verdict.allowed else refusal(hook, verdict).status_code
    counts.answered(*about, backend.clock.monotonic() - began, refused_with=code)
    return verdict


async def _ask(
    hook: Hook, attributes: Attributes, shown: Shown, credentials: Credentials, *, mutating: bool
) -> review.Verdict:
    """Ask.

    Raises:
        CallFailed: there is none. BadRequest: dry run, and the webhook may have side effects.
    """
    if attributes.dry_run and not hook.without_side_effects:
        raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
    if "v1" not in (hook.spec.get("admissionReviewVersions") or ()):
        raise CallFailed(
            f'failed calling webhook "{hook.name}": could not create admission objects: '
            "webhook does not accept known AdmissionReview versions (v1)"
        )
    uid, asked = review.question(attributes, shown)
    try:
        config = hook.spec.get("clientConfig") or {}
        body = await post(
            attributes.call.backend, config, orjson.dumps(asked), timeout_s=hook.timeout_s,
            identify=credentials.of,
        )  # fmt: skip
    except NoAnswer as error:
        raise CallFailed(f'failed calling webhook "{hook.name}": failed to call webhook: {error}') from error
    try:
        return review.read_answer(body, uid, mutating=mutating)
    except review.BadAnswer as error:
        raise CallFailed(
            f'failed calling webhook "{hook.name}": received invalid webhook response: {error}'
        ) from error


def refusal(hook: Hook, verdict: review.Verdict) -> StatusError:
    """Return the error of a write that a webhook has denied, with the code and reason that it gave."""
    status = verdict.status or {}
    denied = f'admission webhook "{hook.name}" denied the request'
    why = status.get("message") or status.get("reason")
    code = status.get("code")
    return StatusError(
        f"{denied}: {why}" if why else f"{denied} without explanation",
        code=code if isinstance(code, int) and code >= 400 else 400,
        reason=str(status.get("reason") or ""),
        details=status.get("details") or None,
    )


def internal(error: CallFailed) -> StatusError:
    """Return the error of a write whose webhook failed."""
    return InternalError.of(error)
