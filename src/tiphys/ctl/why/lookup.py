"""Finds a kind that ``why`` has no explanation of its own for, in what the server says that it serves."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.rest import Client
from tiphys.client.transport import Call
from tiphys.ctl.layout import CtlError
from tiphys.ctl.why.explain import KINDS, Kind
from tiphys.ctl.why.other import other_findings

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def look_up(client: Client, word: str) -> Kind:
    """Return the kind that ``word`` means (``cm``, ``widgets.example.com``). Raises CtlError, StatusError."""
    for path in ("/api", "/apis"):
        answer = await client.send(Call("GET", path, headers={"Accept": _ACCEPT}))
        found = next(matching(orjson.loads(answer.body), word.lower()), None)
        if found is not None:
            return found
    known = ", ".join(kind.names[0] for kind in KINDS)
    raise CtlError(f"cannot explain {word!r}: it can be one of {known}, or any other kind that is served")


def matching(document: Object, word: str) -> Iterator[Kind]:
    """Yield what a word may mean, the preferred version first.

    Servers before v1.30 answer with a bare list of groups, which has nothing that matches.
    """
    wanted, _, rest = word.partition(".")
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if rest in ("", name, f"{version['version']}.{name}"):
                for served in version.get("resources") or ():
                    if wanted in _names(served) and "get" in served.get("verbs", ()):
                        yield other_kind(GVR(name, version["version"], served["resource"]), served)


def _names(served: Object) -> tuple[str, ...]:
    kind = (served.get("responseKind") or {}).get("kind", "")
    return (
        served["resource"],
        served.get("singularResource", ""),
        kind.lower(),
        *served.get("shortNames", ()),
    )


def other_kind(gvr: GVR, served: Object) -> Kind:
    """Describe a kind by what discovery says of it."""
    return Kind(
        gvr,
        (served.get("singularResource") or gvr.resource,),
        lambda obj, scene: other_findings(obj, gvr.resource, scene),
        namespaced=served.get("scope") == "Namespaced",
    )
