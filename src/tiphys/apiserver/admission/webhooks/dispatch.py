"""Asks one webhook about one write over HTTPS.

Owns: address, TLS, timeout, side effects under dry run, and upstream's texts for every way to fail.
Refuses: choosing webhooks and acting on verdicts (``plugins``).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from tiphys.apimachinery.errors import BadRequest, InternalError, StatusError, TiphysError
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Shown
from tiphys.apiserver.admission.webhooks import review
from tiphys.apiserver.admission.webhooks.hook import Hook
from tiphys.apiserver.call import Backend
from tiphys.apiserver.options import GIT_VERSION
from tiphys.apiserver.service_link import Endpoint, NoEndpoint, bundle_of, reason_of, resolve, tls_context
from tiphys.wire import client

log = logging.getLogger(__name__)
_HTTPS = 443
_MAX_ANSWER_BYTES = 16 << 20
_STATUS_TEXTS = {
    404: "the server could not find the requested resource",
    401: "Unauthorized",
    403: "forbidden: unknown",
}


class CallFailed(TiphysError):
    """The webhook gave no verdict; ``failurePolicy`` decides what that means."""


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a webhook is: as messages name it, and as a connection is made."""

    url: str
    target: str
    authority: str
    endpoint: Endpoint


async def ask(hook: Hook, attributes: Attributes, shown: Shown, *, mutating: bool) -> review.Verdict:
    """Return a webhook's verdict.

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
        body = await _post(attributes.call.backend, hook, orjson.dumps(asked))
    except CallFailed as error:
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


async def _address(backend: Backend, hook: Hook) -> _Address:
    config = hook.spec.get("clientConfig") or {}
    timeout = f"timeout={hook.timeout_s}s"
    service = config.get("service")
    if service:
        port = int(service.get("port") or _HTTPS)
        authority = f"{service['name']}.{service['namespace']}.svc:{port}"
        path = service.get("path") or "/"
        target = f"{path if path.startswith('/') else '/' + path}?{timeout}"
        url = f"https://{authority}{target}"
        try:
            endpoint = await resolve(backend, service["namespace"], service["name"], port)
        except NoEndpoint as error:
            raise CallFailed(f'Post "{url}": {error}') from error
        return _Address(url, target, authority, endpoint)
    parts = urlsplit(config.get("url") or "")
    target = f"{parts.path}?{f'{parts.query}&' if parts.query else ''}{timeout}"
    if not parts.path:
        target = f"/{target}"
    endpoint = Endpoint(parts.hostname or "", parts.port or _HTTPS, parts.hostname or "")
    shown = target if parts.path else target[1:]
    return _Address(f"https://{parts.netloc}{shown}", target, parts.netloc, endpoint)


async def _post(backend: Backend, hook: Hook, body: bytes) -> bytes:
    address = await _address(backend, hook)
    endpoint = address.endpoint
    try:
        context = tls_context(bundle_of(hook.spec.get("clientConfig") or {}))
    except (ssl.SSLError, ValueError) as error:
        raise CallFailed(f"unable to load root certificates: {error}") from error
    headers = {
        "Host": address.authority,
        "Accept": "application/json, */*",
        "Content-Type": "application/json",
        "User-Agent": f"kube-apiserver-admission/{GIT_VERSION}",
    }
    try:
        async with asyncio.timeout(hook.timeout_s):
            answer = await client.send(
                endpoint.host, endpoint.port, "POST", address.target, headers, body=body,
                ssl_context=context, server_name=endpoint.server_name,
                connect_timeout_s=hook.timeout_s + 1,
            )  # fmt: skip
            try:
                return await _read(answer)
            finally:
                await answer.close()
    except TimeoutError as error:
        raise CallFailed(f'Post "{address.url}": context deadline exceeded') from error
    except client.ConnectFailed as error:
        why = reason_of(error, endpoint.server_name)
        raise CallFailed(f'Post "{address.url}": {why}') from error


async def _read(answer: client.Answer) -> bytes:
    parts, size = [], 0
    async for chunk in answer.body():
        parts.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER_BYTES:
            raise CallFailed(f"the response is larger than {_MAX_ANSWER_BYTES} bytes")
    body = b"".join(parts)
    if 200 <= answer.status < 300:
        return body
    text = _STATUS_TEXTS.get(answer.status)
    if text is None:
        said = body.decode(errors="replace").strip() or "unknown"
        quoted = orjson.dumps(said).decode()
        text = f"an error on the server ({quoted}) has prevented the request from succeeding"
    raise CallFailed(text)
