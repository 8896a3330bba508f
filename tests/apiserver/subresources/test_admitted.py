"""What is created on a subresource passes admission: bindings, evictions, token requests."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.versions import Versions
from tiphys.apiserver.admission.webhooks.review import question

POD = "/api/v1/namespaces/default/pods/p"
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}


class Recorder:
    """A plugin that writes down what it sees, and refuses when told."""

    NAME = "Recorder"

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.refuses = False

    async def validate(self, attributes: Attributes) -> None:
        shown = question(attributes, await Versions(attributes).at(attributes.call.resource), "v1")[1][
            "request"
        ]
        self.seen.append(
            (attributes.operation, attributes.plural, attributes.subresource, shown["kind"]["kind"],
             attributes.dry_run)
        )  # fmt: skip
        if self.refuses:
            raise attributes.refuse("no")


CASES = [
    (f"{POD}/binding", BINDING, ("CREATE", "pods", "binding", "Binding")),
    ("/api/v1/namespaces/default/bindings", BINDING, ("CREATE", "bindings", "", "Binding")),
    (f"{POD}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}},
     ("CREATE", "pods", "eviction", "Eviction")),
    (f"{ACCOUNT}/token", {"spec": {}}, ("CREATE", "serviceaccounts", "token", "TokenRequest")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "want"), CASES, ids=[case[0] for case in CASES])
async def test_plugins_are_asked(
    api: Any, make_pod: Any, path: str, body: Any, want: tuple[str, ...]
) -> None:
    await api.create("/api/v1/namespaces/default/pods", make_pod("p"))
    recorder = Recorder()
    api.server.backend.admission.add(recorder)
    await api.create(f"{path}?dryRun=All", body)
    recorder.refuses = True
    answer = await api("POST", path, body)
    assert (answer.status, answer.json["reason"]) == (403, "Forbidden")
    recorder.refuses = False
    await api.create(path, body)
    assert recorder.seen == [(*want, True), (*want, False), (*want, False)], "and once only"
