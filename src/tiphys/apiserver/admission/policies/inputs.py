"""Makes the variables of expressions from a write, and answers their questions about rights.

What this process knows of rights is answered at once. Where a webhook has to be asked, the evaluation moves
to a thread (``evaluating``) that waits for each answer and goes on.
"""

from __future__ import annotations

import asyncio

from tiphys.apimachinery.cel import TakesLong, excuse, hurried
from tiphys.apimachinery.cel.library.authorizers import AccessCheck, Authorizer, Decision, resource_check
from tiphys.apimachinery.cel.prices import AUTHORIZATION_CHECK
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.admission.policies.evaluation import Inputs
from tiphys.apiserver.admission.versions import Shown
from tiphys.apiserver.admission.webhooks.review import request_of
from tiphys.apiserver.authn.user import AUTHENTICATED, User, service_account_name
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.filters.requestinfo import RequestInfo

_ACCOUNTS = "system:serviceaccounts"


class Rights:
    """What the user of one request may do, as far as expressions have asked."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._known: dict[AccessCheck, Decision] = {}

    def decide(self, access: AccessCheck) -> Decision:
        """Return the decision. A thread waits for one that a webhook has to make; the loop does not."""
        excuse(AUTHORIZATION_CHECK)
        found = self._known.get(access)
        if found is None:
            found = self._known[access] = self._ask(access)
        return found

    def _ask(self, access: AccessCheck) -> Decision:
        user = self._call.user if access.service_account is None else _account(*access.service_account)
        authorizer, info = self._call.backend.authorizer, _info(access)
        if hurried():
            decision = authorizer.decide_nowait(user, info)
            if decision is None:
                raise TakesLong
        else:
            decision = asyncio.run_coroutine_threadsafe(authorizer.decide(user, info), self._loop).result()
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
    attributes: Attributes, shown: Shown, rights: Rights, *, namespace: Object | None = None
) -> Inputs:
    """Return the variables of a write, its objects in the version that they are shown in."""
    access = AccessCheck(
        group=attributes.group,
        resource=attributes.plural,
        subresource=attributes.subresource,
        namespace=attributes.namespace if attributes.call.resource.namespaced else "",
        name=attributes.name,
    )
    return Inputs(
        {
            "object": shown.obj,
            "oldObject": shown.old,
            "request": request_of(attributes, shown.row),
            "namespaceObject": namespace,
            "params": None,
            "authorizer": Authorizer(rights.decide),
            "authorizer.requestResource": resource_check(rights.decide, access),
        }
    )


async def namespace_of(attributes: Attributes) -> Object | None:
    """Return the namespace written in; None for what is in none, and for namespaces.

    Raises:
        NotFound: it is not there.
    """
    if not attributes.call.resource.namespaced:
        return None
    found = await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace)
    if found is None:
        raise NotFound.of("", "namespaces", attributes.namespace)
    return found
