"""How many watches a write is thought to wake: what the width of writes rests on."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.flowcontrol.watches import Watches, watched

PODS, PODS_OF_A, POD = "/api/v1/pods", "/api/v1/namespaces/a/pods", "/api/v1/namespaces/a/pods/p"
WRITES = [("POST", PODS_OF_A), ("PUT", POD), ("DELETE", "/api/v1/namespaces/b/pods/p"), ("PUT", PODS + "/p")]
EVERYWHERE, IN_A, ONE_OF_A, UNNAMED = (1, 1, 1, 1), (1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1)
NOWHERE = (0, 0, 0, 0)


def watch(path, **query):
    query = urlencode({"watch": "1", **query})
    return watched(parse("GET", path, query))


CASES = [
    ("all", PODS, {}, EVERYWHERE),
    ("a namespace", PODS_OF_A, {}, IN_A),
    ("one by name", PODS_OF_A, {"fieldSelector": "metadata.name=p"}, ONE_OF_A),
    ("a name in all namespaces", PODS, {"fieldSelector": "metadata.name=p"}, UNNAMED),
    ("a path of old", "/api/v1/watch/namespaces/a/pods/p", {}, ONE_OF_A),
    ("a namespace by its name", PODS, {"fieldSelector": "metadata.namespace=a"}, EVERYWHERE),
    ("labels", PODS, {"labelSelector": "app=a"}, EVERYWHERE),
    ("a node's", PODS, {"fieldSelector": "spec.nodeName=n"}, NOWHERE),
    ("a node's of a namespace", PODS_OF_A, {"fieldSelector": "status.phase=A,spec.nodeName=n"}, NOWHERE),
    ("what has no node", PODS, {"fieldSelector": "spec.nodeName="}, EVERYWHERE),
    ("all but a node's", PODS, {"fieldSelector": "spec.nodeName!=n"}, EVERYWHERE),
    ("another field", PODS, {"fieldSelector": "status.phase=Running"}, EVERYWHERE),
    ("a selector that is none", PODS, {"fieldSelector": "x"}, EVERYWHERE),
    ("another resource", "/api/v1/secrets", {}, NOWHERE),
    ("another group", "/apis/metrics.k8s.io/v1beta1/pods", {}, NOWHERE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "query", "counts"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_who_would_be_told(path, query, counts):
    watches = Watches()
    watches.register(watch(path, **query))
    assert tuple(watches.interested(parse(method, where, "")) for method, where in WRITES) == counts


def test_watches_add_up_and_end():
    watches, every = (
        Watches(),
        [watch(PODS), watch(PODS), watch(PODS_OF_A), watch(PODS, fieldSelector="spec.nodeName=n")],
    )
    for one in every:
        watches.register(one)
    write = parse("POST", PODS_OF_A, "")
    assert watches.interested(write) == 3
    for one in every:
        watches.forget(one)
    assert (watches.interested(write), dict(watches._running)) == (0, {})
