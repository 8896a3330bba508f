"""How nodes rank by what pods prefer to be near, or far from: case by case, in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, node

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.framework import run_filters
from tiphys.scheduler.plugins.topology import InterPodAffinity
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile

TEAMS = {f"{sub}.{team}": {"team": team} for team in ("team1", "team2") for sub in ("sub1", "sub2")}
OURS = {"namespaces": ["sub2.team2"], "namespaceSelector": {"matchLabels": {"team": "team1"}}}


def term(key: str, *said: tuple[str, str, list[str]], **more: Any) -> dict[str, Any]:
    asked = [
        {"key": label, "operator": operator, **({"values": values} if values else {})}
        for label, operator, values in said
    ]
    return {"topologyKey": key, "labelSelector": {"matchExpressions": asked}, **more}


def of(*kinds: str) -> tuple[str, str, list[str]]:
    return ("security", "In", list(kinds))


def near(*terms: tuple[int, dict[str, Any]], key: str = "podAffinity") -> dict[str, Any]:
    said = [{"weight": weight, "podAffinityTerm": one} for weight, one in terms]
    return {key: {"preferredDuringSchedulingIgnoredDuringExecution": said}}


def far(*terms: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    return near(*terms, key="podAntiAffinity")


def must(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


WITH_S1, WITH_S2 = near((5, term("region", of("S1")))), near((6, term("region", of("S2"))))
ANY_BUT = (("security", "Exists", []), ("wrong", "DoesNotExist", []))
PICKY = near((8, term("region", ("security", "NotIn", ["S1"]), of("S2"))), (2, term("region", *ANY_BUT)))
HARD = must(term("region", of("S1", "value2")), term("region", *ANY_BUT))
NO_S1, NO_S2 = far((5, term("az", of("S1")))), far((5, term("az", of("S2"))))
BOTH = near((8, term("region", of("S1")))) | NO_S2
NAMESPACES = near((5, term("region", of("S1"), **OURS)))
NOT_NAMESPACES = far((5, term("region", of("S1"), **OURS)))
SERVICE = must(term("region", of("S1"), namespaces=["default", "sub2.team2"],
                    namespaceSelector={"matchLabels": {"team": "team1"}}))  # fmt: skip

PLACES = {
    "china": {"region": "China"}, "india": {"region": "India"}, "az1": {"az": "az1"}, "az2": {"az": "az2"},
    "china1": {"region": "China", "az": "az1"},
}  # fmt: skip
Placed = tuple[int, str, dict[str, Any] | None, str]
"""On which node, of which kind (empty: none), what it wants, and in which namespace."""


def on(index: int, kind: str = "", wants: dict[str, Any] | None = None, where: str = "default") -> Placed:
    return (index, kind, wants, where)


@dataclass(frozen=True)
class Case:
    """What asks (kind, wishes, namespace), nodes by place, what is placed, and the scores; None: no wish."""

    asks: tuple[str, dict[str, Any] | None, str]
    nodes: str
    placed: tuple[Placed, ...]
    scores: list[int] | None
    ignore: bool = False
    hard: int = 1


def asks(kind: str, wants: dict[str, Any] | None = None, where: str = "default") -> Any:
    return (kind, wants, where)


THREE = "china india az1"
TWO = "china india"
IN_ONE = [on(0, "S1", None, "sub1.team1"), on(0, "S1", None, "sub1.team1")]
ELSEWHERE = on(1, "S1", None, "sub2.team1")
WANTING = (on(0, "S1", BOTH), on(1, "S2", WITH_S2))
HARD_ONES = (on(0, "", SERVICE), on(1, "", SERVICE))
CASES = {
    "no wishes": Case(asks("S1"), THREE, (), None),
    "a wish without a selector": Case(
        asks("S1", near((5, {"topologyKey": "region"}))), THREE, (on(0, "S1"), on(1, "S2")), None
    ),
    "a wish for everybody": Case(
        asks("S1", near((5, {"topologyKey": "region", "labelSelector": {}}))), THREE,
        (on(0, "S1"), on(0, "S1"), on(1, "S2")), [100, 50, 0],
    ),
    "one place has what it wants": Case(
        asks("S1", WITH_S1), THREE, (on(0, "S1"), on(1, "S2"), on(2, "S1")), [100, 0, 0]
    ),
    "all of that place": Case(asks("", WITH_S1), "china china1 india", (on(0, "S1"),), [100, 100, 0]),
    "more in one place": Case(
        asks("S1", WITH_S2), "china india china china india",
        tuple(on(index, "S2") for index in (0, 0, 1, 2, 3, 4)), [100, 0, 100, 100, 0],
    ),
    "several operators": Case(
        asks("S1", PICKY), THREE, (on(0, "S1"), on(1, "S2"), on(2, "S1")), [20, 100, 0]
    ),
    "what others want": Case(
        asks("S2"), THREE, (on(0, "S1", WITH_S1), on(1, "S2", WITH_S2)), [0, 100, 0]
    ),
    "what others want of a team": Case(
        asks("S1", None, "sub1.team1"), THREE, (on(0, "S1", NAMESPACES), on(1, "S2", WITH_S2)), [100, 0, 0]
    ),
    "what others shun of a team": Case(
        asks("S1", None, "sub1.team1"), THREE, (on(0, "S1", NOT_NAMESPACES), on(1, "S2", WITH_S2)),
        [0, 100, 100],
    ),
    "what others require": Case(
        asks("S1"), THREE, (on(0, "S1", HARD), on(1, "S2", HARD)), [100, 100, 0]
    ),
    "shunned here, not there": Case(asks("S1", NO_S1), "az1 china", (on(0, "S1"), on(1, "S2")), [0, 100]),
    "shunned where there is a place": Case(
        asks("S1", NO_S1), "az1 china", (on(0, "S1"), on(1, "S1")), [0, 100]
    ),
    "shunned twice": Case(
        asks("S1", NO_S1), "az1 india", (on(0, "S1"), on(0, "S1"), on(1, "S2")), [0, 100]
    ),
    "others shun it": Case(asks("S2"), "az1 az2", (on(0, "S1", NO_S2), on(1, "S2", NO_S1)), [0, 100]),
    "wanted and shunned": Case(asks("S1", BOTH), "china az1", (on(0, "S1"), on(1, "S1")), [100, 0]),
    "wanted in a region": Case(
        asks("S1", BOTH), "china1 india china china india",
        tuple(on(index, "S1") for index in (0, 0, 1, 2, 2, 3, 4)), [100, 0, 100, 100, 0],
    ),
    "all four": Case(
        asks("S1", BOTH), "china az1 india az2",
        (on(0, "S1"), on(1, "S2"), on(2, "", BOTH), on(3, "", NO_S1)), [100, 0, 100, 0],
    ),
    "the same everywhere": Case(asks("S1"), "china china", (on(0, "S1"), on(1, "", BOTH)), None),
    "near a team, another is left out": Case(
        asks("S1", NAMESPACES, "sub1.team1"), TWO, (*IN_ONE, on(0, "S1", None, "sub1.team2"), ELSEWHERE),
        [100, 0],
    ),
    "near a team, another by name": Case(
        asks("S1", NAMESPACES, "sub1.team1"), TWO, (*IN_ONE, on(0, "S1", None, "sub2.team2"), ELSEWHERE),
        [100, 0],
    ),
    "far from a team, another is left out": Case(
        asks("S1", NOT_NAMESPACES, "sub1.team1"), TWO,
        (*IN_ONE, on(0, "S1", None, "sub1.team2"), ELSEWHERE), [0, 100],
    ),
    "far from a team, another by name": Case(
        asks("S1", NOT_NAMESPACES, "sub1.team1"), TWO,
        (*IN_ONE, on(0, "S1", None, "sub2.team2"), ELSEWHERE), [0, 100],
    ),
    "others' wishes are ignored": Case(asks("S2"), TWO, WANTING, None, ignore=True),
    "others' wishes are heard": Case(asks("S2"), TWO, WANTING, [0, 100]),
    "required by others": Case(asks("S1"), THREE, HARD_ONES, [100, 100, 0]),
    "required by others, which weighs nothing": Case(asks("S1"), THREE, HARD_ONES, None, hard=0),
    "required of other namespaces": Case(asks("S1", None, "sub1.team2"), THREE, HARD_ONES, None),
    "required of the team": Case(asks("S1", None, "sub1.team1"), THREE, HARD_ONES, [100, 100, 0]),
    "required of a namespace": Case(asks("S1", None, "sub2.team2"), THREE, HARD_ONES, [100, 100, 0]),
}  # fmt: skip


def made(name: str, kind: str, wants: dict[str, Any] | None, where: str) -> PodInfo:
    metadata = {"name": name, "uid": name, "namespace": where, "labels": {"security": kind} if kind else {}}
    spec = {"containers": [{"name": "c", "image": "web:1"}], "affinity": wants or {}}
    return pod_info({"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_scores(case: Case) -> None:
    places = [PLACES[place] for place in case.nodes.split()]
    world = columns(*(node(f"n{index}", labels=labels) for index, labels in enumerate(places)))
    for name, labels in TEAMS.items():
        world.set_namespace(name, labels)
    for number, (index, kind, wants, where) in enumerate(case.placed):
        world.add_pod(made(f"p{number}", kind, wants, where), f"n{index}")
    plugin = InterPodAffinity(case.hard, ignore_others_wishes=case.ignore)
    scores = plugin.score(made("new", *case.asks), world, world.alive)
    found = None if scores is None else [int(scores[world.rows[f"n{index}"]]) for index in range(len(places))]
    assert found == case.scores


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
EVERYBODY: dict[str, Any] = {"topologyKey": "region", "labelSelector": {}}
NOBODY: dict[str, Any] = {"topologyKey": "region"}


@pytest.mark.parametrize(
    ("kind", "said", "where"),
    [
        pytest.param("podAffinity", NOBODY, [], id="near nobody: nowhere"),
        pytest.param("podAffinity", EVERYBODY, ["n0"], id="near everybody"),
        pytest.param("podAntiAffinity", NOBODY, ["n0", "n1"], id="far from nobody"),
        pytest.param("podAntiAffinity", EVERYBODY, ["n1"], id="far from everybody"),
    ],
)
def test_a_term_without_a_selector_speaks_of_nobody(
    kind: str, said: dict[str, Any], where: list[str]
) -> None:
    world = columns(node("n0", labels=PLACES["china"]), node("n1", labels=PLACES["india"]))
    world.add_pod(made("p", "S1", None, "default"), "n0")
    asking = made("new", "S1", {kind: {REQUIRED: [said]}}, "default")
    feasible, _ = run_filters(asking, world, default_profile())
    assert [name for name, row in world.rows.items() if feasible[row]] == where
