"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: the configurations, followed, and their effect.

Owns: which webhooks a write meets and in which order, what a failure means, patches, and the second round for
webhooks that saw an object before others changed it. State is one server's: the chain makes an instance for
each. Source: the "Dynamic Admission Control" page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden, InternalError, StatusError, Timeout
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apimachinery.patch import json_patch
from tiphys.apiserver.admission import configuration, matching
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.policies.conditions import ConditionsFailed
from tiphys.apiserver.admission.policies.inputs import Rights, inputs_of
from tiphys.apiserver.admission.readiness import Readiness
from tiphys.apiserver.admission.versions import Shown, Versions
from tiphys.apiserver.admission.webhooks import dispatch
from tiphys.apiserver.admission.webhooks import hook as hooks
from tiphys.apiserver.admission.webhooks.credentials import Credentials
from tiphys.apiserver.admission.webhooks.hook import Hook
from tiphys.apiserver.admission.webhooks.review import BadAnswer, Verdict, decode_patch
from tiphys.apiserver.evaluating import aside, evaluate
from tiphys.apiserver.observe.expression_times import Conditioned
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached, ObjectStore

if TYPE_CHECKING:
    from tiphys.apiserver.admission.manifests.loading import Manifests

log = logging.getLogger(__name__)


class _Configurations:
    """The webhooks of one kind of configuration, by the names of the configurations."""

    PLURAL = ""
    KIND = ""
    """As metrics call these webhooks."""

    NAME = ""
    MANIFEST = ""
    """The kind of the configurations."""

    def __init__(self, credentials: Credentials | None = None, document: Object | None = None) -> None:
        """Raises BadConfiguration: of the files that ``document``, the plugin's part, names."""
        self.credentials = credentials or Credentials()
        self._by_name: dict[str, list[Hook]] = {}
        self._static: list[Hook] = []
        """Those of files, which are asked first."""
        self._ordered: list[Hook] = []
        self._ready = Readiness()
        self.manifests = configuration.manifests(self.NAME, document or {}, (self.MANIFEST,), self._take)

    @classmethod
    def configured(cls, document: Object | None) -> Self:
        """Raises BadConfiguration."""
        return cls(Credentials.configured(document), document)

    def _take(self, found: Manifests) -> None:
        self._static = [one for obj in found[self.MANIFEST] for one in hooks.read_hooks(obj, "manifest/")]
        self._order()

    def feeds(self, store: ObjectStore, table: Any) -> list[Feed]:
        """Return what must be followed while the server runs."""
        row = table.by_path("admissionregistration.k8s.io", "v1", self.PLURAL)
        return self._ready.of([Feed(store, row, self._observe, needs_all=True)])

    def idle(self, attributes: Attributes | None = None) -> bool:
        """Tell whether there are no webhooks, as far as all could be read."""
        return not self._ordered and bool(self._ready)

    def _observe(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self._by_name[new.name] = hooks.read_hooks(new.object)
        elif old is not None:
            self._by_name.pop(old.name, None)
        self._order()

    def _order(self) -> None:
        by_name = self._by_name
        self._ordered = [*self._static, *(one for name in sorted(by_name) for one in by_name[name])]

    async def concerned(
        self, attributes: Attributes, versions: Versions
    ) -> AsyncIterator[tuple[int, Hook, Shown]]:
        """Yield the webhooks that a write concerns, in order, with what each is to be shown.

        Each has its place among all webhooks, and is judged when it is its turn, by what those before it have
        made of the object. Raises NotFound: a selector asks for the labels of a namespace that is not there;
        Forbidden: some configuration cannot be read.
        """
        ordered = self._static
        if not matching.is_exempt(attributes):
            self._ready.check(attributes)
            ordered = self._ordered
        if not ordered:
            return
        others = matching.equivalents(attributes)
        rights = Rights(attributes.call)
        labels: matching.NamespaceLabels = None
        read = False
        for place, one in enumerate(ordered):
            row = one.match.row(attributes, others)
            if row is None:
                continue
            if not read:
                labels, read = await matching.namespace_labels(attributes), True
            if not one.match.selects(attributes, others, labels, versions.obj):
                continue
            shown = await versions.at(row)
            if await _holds(one, attributes, shown, rights, self.KIND):
                yield place, one, shown


async def _holds(hook: Hook, attributes: Attributes, shown: Shown, rights: Rights, kind: str) -> bool:
    """Tell whether a webhook's conditions hold; ``kind`` is admit or validate.

    Raises:
        Forbidden: some could not be evaluated, and the webhook's failure policy is Fail.
    """
    if not hook.conditions.compiled:
        return True
    inputs = inputs_of(attributes, shown, rights)
    backend, held = attributes.call.backend, None
    began = backend.clock.monotonic()
    weighed = await evaluate(lambda: hook.conditions.weigh(inputs))
    took_s = backend.clock.monotonic() - began
    try:
        held = weighed.holds(ignore_failure=hook.ignores_failure)
        return held
    except ConditionsFailed as error:
        log.warning("match conditions failed closed name=%s error=%s", hook.name, error)
        raise Forbidden.of(
            attributes.group, attributes.plural, attributes.request_name, str(error)
        ) from error
    finally:
        whose = Conditioned(hook.name, "webhook", kind, attributes.operation)
        times = backend.admission.times.expressions
        times.conditions(whose, took_s, weighed.failed, excluded=held is False)


def _heed(hook: Hook, verdict: Verdict, attributes: Attributes) -> None:
    """Pass on what a verdict says beside yes and no."""
    for text in verdict.warnings:
        attributes.call.warn(text)
    for key, value in verdict.annotations.items():
        attributes.annotate(f"{hook.name}/{key}", value)


def _failed(hook: Hook, attributes: Attributes, error: dispatch.CallFailed) -> StatusError | None:
    if not hook.ignores_failure:
        return dispatch.internal(error)
    if dispatch.is_late(attributes):  # nobody waits for what others would say
        return Timeout("Timeout: request did not complete within requested timeout", details={})
    log.warning("webhook failed open name=%s error=%s", hook.name, error)
    return None


class ValidatingAdmissionWebhook(_Configurations):
    """Asks all webhooks concerned at once; the first refusal in order counts."""

    NAME = "ValidatingAdmissionWebhook"
    PLURAL = "validatingwebhookconfigurations"
    MANIFEST = "ValidatingWebhookConfiguration"
    KIND = "validate"

    async def validate(self, attributes: Attributes) -> None:
        concerned = [
            (hook, shown) async for _, hook, shown in self.concerned(attributes, Versions(attributes))
        ]
        if not concerned:
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._ask(place, hook, attributes, shown))
                for place, (hook, shown) in enumerate(concerned)
            ]
        for task in tasks:
            error = task.result()
            if error is not None:
                raise error

    async def _ask(self, place: int, hook: Hook, attributes: Attributes, shown: Shown) -> StatusError | None:
        try:
            with dispatch.counting(hook, attributes, mutating=False) as outcome:
                verdict = await dispatch.ask(hook, attributes, shown, self.credentials, mutating=False)
                _heed(hook, verdict, attributes)
                outcome.refusal = None if verdict.allowed else dispatch.refusal(hook, verdict)
        except dispatch.CallFailed as error:
            if hook.ignores_failure:
                key = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{place}"
                attributes.annotate(key, hook.name)
            return _failed(hook, attributes, error)
        except StatusError as error:
            return error
        return outcome.refusal


class MutatingAdmissionWebhook(_Configurations):
    """Asks webhooks one after the other, each about what the ones before have made of the object."""

    NAME = "MutatingAdmissionWebhook"
    PLURAL = "mutatingwebhookconfigurations"
    MANIFEST = "MutatingWebhookConfiguration"
    KIND = "admit"

    async def admit(self, attributes: Attributes) -> None:
        memory, versions = attributes.reinvocation, Versions(attributes)
        called = memory.webhooks
        if memory.again and attributes.obj != called.left:
            called.again()  # something else has changed the object since
        async for place, hook, shown in self.concerned(attributes, versions):
            if memory.again and hook.key not in called.due:
                continue
            told = _Told(attributes, hook, f"round_{int(memory.again)}_index_{place}")
            changed = False
            try:
                changed = await self._ask(hook, attributes, shown, versions, told)
            finally:
                told.mutated(changed=changed)
            if changed:
                memory.wanted = True
                called.again()
            if hook.reinvocable:
                called.before.add(hook.key)
        await versions.settle()
        called.left = await aside(attributes.call.size, copy_object, attributes.obj)

    async def _ask(
        self, hook: Hook, attributes: Attributes, shown: Shown, versions: Versions, told: _Told
    ) -> bool:
        """Ask one webhook and apply its patch. Returns whether the object has changed."""
        changed = False
        try:
            with dispatch.counting(hook, attributes, mutating=True) as outcome:
                verdict = await dispatch.ask(hook, attributes, shown, self.credentials, mutating=True)
                _heed(hook, verdict, attributes)
                if not verdict.allowed:
                    outcome.refusal = dispatch.refusal(hook, verdict)
                elif verdict.patch:
                    changed = await _apply(hook, shown, versions, _operations(hook, verdict), told)
        except dispatch.CallFailed as error:
            if hook.ignores_failure:
                told.failed_open()
            refused = _failed(hook, attributes, error)
            if refused is not None:
                raise refused from error
            return False
        if outcome.refusal is not None:
            raise outcome.refusal
        return changed


@dataclass(frozen=True, slots=True)
class _Told:
    """What audit is told of one mutating webhook; ``when`` is its round and place."""

    attributes: Attributes
    hook: Hook
    when: str

    def mutated(self, *, changed: bool) -> None:
        self._annotate("mutation", {**self._who, "mutated": changed})

    def patched(self, operations: list[Any]) -> None:
        value = {**self._who, "patch": operations, "patchType": "JSONPatch"}
        self._annotate("patch", value, with_body=True)

    def failed_open(self) -> None:
        self.attributes.annotate(f"failed-open.mutation.webhook.admission.k8s.io/{self.when}", self.hook.name)

    @property
    def _who(self) -> Object:
        return {"configuration": self.hook.configuration, "webhook": self.hook.name}

    def _annotate(self, what: str, value: Object, *, with_body: bool = False) -> None:
        text = orjson.dumps(value).decode()
        self.attributes.annotate(f"{what}.webhook.admission.k8s.io/{self.when}", text, with_body=with_body)


def _operations(hook: Hook, verdict: Verdict) -> list[Any]:
    """Return the operations of a patch. Raises CallFailed for what is none."""
    try:
        operations = decode_patch(verdict.patch)
    except BadAnswer as error:
        raise dispatch.CallFailed(hook, f"received undecodable patch in webhook response: {error}") from error
    if verdict.patch_type != "JSONPatch":
        raise dispatch.CallFailed(hook, f'unsupported patch type "{verdict.patch_type}"')
    return operations


async def _apply(hook: Hook, shown: Shown, versions: Versions, operations: list[Any], told: _Told) -> bool:
    """Change the object in place as a webhook's patch says; defaults fill what it left open."""
    if not operations:
        return False
    if shown.obj is None:
        raise InternalError.of(
            f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for '
            "this operation"
        )
    try:
        patched = await aside(told.attributes.call.size, json_patch.apply, shown.obj, operations)
    except StatusError as error:
        raise InternalError.of(str(error.__cause__ or error.message)) from error
    try:
        changed = await versions.take_later(patched, shown.row)
    except InternalError:
        raise
    except StatusError as error:
        raise InternalError.of(str(error.__cause__ or error.message)) from error
    told.patched(operations)
    return changed
