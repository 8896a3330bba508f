"""Terms and pods find each other by a label, and miss nobody."""

import itertools
import random
from dataclasses import replace

import pytest
from tests.scheduler.builders import info

from tiphys.apimachinery.labels import EVERYTHING, from_label_selector
from tiphys.scheduler.counts import PodCounts
from tiphys.scheduler.podinfo import Term
from tiphys.scheduler.termindex import ANY, Groups, Terms, asked, offered

_numbers = itertools.count()


def term(selector, *namespaces, others=None):
    chosen = from_label_selector(selector)
    return Term(str(next(_numbers)).encode(), chosen, frozenset(namespaces or ["default"]), others, "zone")


def needs(*requirements):
    return {"matchExpressions": [{"key": k, "operator": o, "values": v} for k, o, v in requirements]}


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        (term({"matchLabels": {"app": "a"}}), {("default", "app", "a")}),
        (term({"matchLabels": {"app": "a"}}, "d", "e"), {("d", "app", "a"), ("e", "app", "a")}),
        (term(needs(("app", "In", ["a", "b"]))), {("default", "app", "a"), ("default", "app", "b")}),
        (term(needs(("x", "Exists", []), ("app", "In", ["a"]))), {("default", "app", "a")}),
        (term(needs(("x", "Exists", []))), {ANY}),
        (term(needs(("app", "NotIn", ["a"]))), {ANY}),
        (term({}), {ANY}),
        (term({"matchLabels": {"app": "a"}}, others=EVERYTHING), {ANY}),
    ],
)
def test_what_a_term_asks_for(found, keys):
    assert set(asked(found)) == keys


def some_terms(dice):
    def selector():
        key, value = dice.choice("abc"), dice.choice("12")
        return dice.choice(
            [
                {"matchLabels": {key: value}},
                {"matchLabels": {"a": value, "b": value}},
                needs((key, "In", ["1", "2"])),
                needs((key, "NotIn", [value])),
                {},
            ]
        )

    spaces = [("d",), ("d", "e"), ("e",)]
    return [term(selector(), *dice.choice(spaces), others=dice.choice([None, EVERYTHING])) for _ in range(30)]


def some_pods(dice):
    pods = [info(labels={key: dice.choice("12") for key in "abc" if dice.random() < 0.6}) for _ in range(30)]
    spaces = [dice.choice("def") for _ in pods]
    return [
        replace(pod, namespace=space, group=space.encode() + pod.group)
        for pod, space in zip(pods, spaces, strict=True)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_they_miss_nobody(seed):
    dice = random.Random(seed)
    terms, pods = some_terms(dice), some_pods(dice)
    by_pod, by_term = Terms(), Groups()
    for one in terms:
        by_pod.put(one, one.id)
    for one in pods:
        by_term.put(one, one.group)
    for gone in terms[:5]:
        by_pod.remove(gone)
    left = {one.group: one for one in pods}
    for group in [*left][:5]:
        by_term.remove(left.pop(group))
    spaces = {name: {} for name in "def"}
    for one in pods:
        may = [found for found, _ in by_pod.maybe_of(one)]
        assert len(may) == len(set(may))
        assert {t for t in terms[5:] if t.matches(one.namespace, one.labels, spaces)} <= set(may)
        assert not set(may) & set(terms[:5])
    for its in terms:
        may = list(by_term.maybe_of(its))
        assert len(may) == len(set(may))
        assert {g for g, one in left.items() if its.matches(one.namespace, one.labels, spaces)} <= set(may)
        assert set(may) <= set(left)


def test_nothing_is_left_of_what_has_gone():
    terms, groups = Terms(), Groups()
    one, pod = term({"matchLabels": {"app": "a"}}), info(labels={"app": "a", "b": "c"})
    terms.put(one, 1)
    groups.put(pod, 2)
    assert (terms.get(one), groups.get(pod.group), len(terms)) == (1, 2, 1)
    terms.remove(one)
    groups.remove(pod)
    assert (terms.get(one), groups.get(pod.group), len(terms)) == (None, None, 0)
    assert not terms._by_key
    assert not groups._by_key
    assert offered(pod) == [("default", "app", "a"), ("default", "b", "c")]


def test_the_hundredth_deployment_is_held_against_no_other(monkeypatch):
    """Each has a term that speaks of its own pods: what the others have is not looked at."""
    counts, judged = PodCounts(4), []
    speaks_of = PodCounts.speaks_of
    monkeypatch.setattr(PodCounts, "speaks_of", lambda *args: judged.append(args) or speaks_of(*args))
    for index in range(100):
        its = term({"matchLabels": {"app": f"a{index}"}})
        pods = [info(labels={"app": f"a{index}"}) for _ in range(3)]
        judged.clear()
        for row, pod in enumerate(pods):
            assert counts.matched(its).total == row
            counts.count(pod, row, 1, 0)
            assert counts.matched(its).by_row[row] == 1
        assert len(judged) <= 2
