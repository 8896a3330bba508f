"""Makes the variables of expressions from a write, and answers their questions about rights.

Evaluation is synchronous and an authorizer may be a webhook. So an expression that asks what is not known yet
is stopped, the question is put, and the evaluation starts over with the answer at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tiphys.apimachinery.cel.library.authorizers import AccessCheck, Authorizer, Decision, resource_check
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.admission.policies.evaluation import Inputs
from tiphys.apiserver.admission.versions import seen_as
from tiphys.apiserver.admission.webhooks.review import request_of
from tiphys.apiserver.authn.user import AUTHENTICATED, User, service_account_name
from tiphys.apiserver.call import Call
from tiphys.apiserver.requestinfo import RequestInfo

_ACCOUNTS = "system:serviceaccounts"
Answer = TypeVar("Answer")


class _NotKnown(Exception):
    def __init__(self, access: AccessCheck) -> None:
        super().__init__(str(access))
        self.access = access


class Rights:
    """What the user of one request may do, as far as expressions have asked."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._known: dict[AccessCheck, Decision] = {}

    def decide(self, access: AccessCheck) -> Decision:
        """Return the decision; stops the evaluation where there is none yet."""
        found = self._known.get(access)
        if found is None:
            raise _NotKnown(access)
        return found

    async def evaluate(self, run: Callable[[], Answer]) -> Answer:
        """Return what ``run`` returns, having asked all that it wanted to know."""
        while True:
            try:
                return run()
            except _NotKnown as asked:
                self._known[asked.access] = await self._ask(asked.access)

    async def _ask(self, access: AccessCheck) -> Decision:
        user = self._call.user if access.service_account is None else _account(*access.service_account)
        decision = await self._call.backend.authorizer.decide(user, _info(access))
        error = decision.error if decision.error and not decision.allowed else None
        return Decision(decision.allowed, decision.reason, error)


def _account(namespace: str, name: str) -> User:
    groups = (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}", AUTHENTICATED)
    return User(service_account_name(namespace, name), groups=groups)


def _info(access: AccessCheck) -> RequestInfo:
    if access.path is not None:
        return RequestInfo(access.path, access.verb)
    return RequestInfo(
        "", access.verb, is_resource=True, group=access.group, version="*", namespace=access.namespace,
        resource=access.resource, subresource=access.subresource, name=access.name,
        field_selector=access.field_selector or "", label_selector=access.label_selector or "",
    )  # fmt: skip


def inputs_of(
    attributes: Attributes, row: Resource, rights: Rights, *, namespace: Object | None = None
) -> Inputs:
    """Return the variables of a write, its objects in the version of ``row``."""
    access = AccessCheck(
        group=attributes.group,
        resource=attributes.plural,
        subresource=attributes.subresource,
        namespace=attributes.namespace if attributes.call.resource.namespaced else "",
        name=attributes.name,
    )
    return Inputs(
        {
            "object": seen_as(attributes.obj, row),
            "oldObject": seen_as(attributes.old, row),
            "request": request_of(attributes, row),
            "namespaceObject": namespace,
            "params": None,
            "authorizer": Authorizer(rights.decide),
            "authorizer.requestResource": resource_check(rights.decide, access),
        }
    )


async def namespace_of(attributes: Attributes) -> Object | None:
    """Return the namespace written in; None for what is in none, and for namespaces."""
    if not attributes.call.resource.namespaced:
        return None
    return await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
