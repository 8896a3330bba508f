"""One discovery document of several servers, in an order that all agree on: groups, versions and resources.

Pure. Called by ``aggregation.discovery`` with what each peer serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from tiphys.apimachinery.meta import Object

Groups = Sequence[Object]
"""Items of an APIGroupDiscoveryList."""


def in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return every name once, standing as the lists have them; where none says anything, by name.

    A list that has them all is followed, whatever the others say. Where they contradict each other all go
    by name.
    """
    after: dict[str, set[str]] = {}
    for names in lists:
        for place, name in enumerate(names):
            after.setdefault(name, set()).update(names[place + 1 : place + 2])
    whole = next((names for names in lists if len(names) == len(after) == len(set(names))), None)
    if whole is not None:
        return list(whole)
    before = Counter(name for following in after.values() for name in following)
    free = sorted(name for name in after if not before[name])
    ordered: list[str] = []
    while free:
        name = heappop(free)
        ordered.append(name)
        for following in after[name]:
            before[following] -= 1
            if not before[following]:
                heappush(free, following)
    return ordered if len(ordered) == len(after) else sorted(after)


def merged(local: Groups, peers: Mapping[str, Groups]) -> list[Object]:
    """Return this server's groups together with those of its peers, which go by their servers' names."""
    if not peers:
        return list(local)
    lists = [local, *(peers[name] for name in sorted(peers))]
    return _union(lists, lambda group: str(group["metadata"]["name"]), _one_group)


def _one_group(one: Object, other: Object) -> Object:
    lists = [one.get("versions") or [], other.get("versions") or []]
    return {**one, "versions": _union(lists, lambda version: str(version["version"]), _one_version)}


def _one_version(one: Object, other: Object) -> Object:
    lists = [one.get("resources") or [], other.get("resources") or []]
    return {**one, "resources": _union(lists, lambda resource: str(resource["resource"]), _last)}


def _last(_one: Object, other: Object) -> Object:
    return other


def _union(
    lists: Iterable[Groups], name_of: Callable[[Object], str], join: Callable[[Object, Object], Object]
) -> list[Object]:
    found: dict[str, Object] = {}
    orders = []
    for items in lists:
        orders.append([name_of(item) for item in items])
        for name, item in zip(orders[-1], items, strict=True):
            found[name] = join(found[name], item) if name in found else item
    return [found[name] for name in in_order(orders)]
