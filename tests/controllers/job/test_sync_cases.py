"""A Job looked at until it settles: what its first look makes and stops, what its status comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from tests.controllers.job.test_plan import BEGAN, job, pod

from tiphys.controllers.job.backoff import Backoff
from tiphys.controllers.job.indexes import ANNOTATION
from tiphys.controllers.job.plan import plan

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUNDS = 4
R, S, F, P = "Running", "Succeeded", "Failed", "Pending"
DONE = ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
LOST = ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]
SUSPENDED = ["Suspended=True JobSuspended"]


@dataclass(frozen=True)
class Given:
    """Parallelism, completions (None: a queue); pods by the first letter of their phase, T on its way out.

    ``index:phase`` instead of a letter gives a pod an index.
    """

    parallelism: int
    completions: int | None
    pods: str = ""
    ready: int = 0
    spec: dict = field(default_factory=dict)
    status: dict = field(default_factory=dict)
    deleting: bool = False

    def job(self):
        made = job(self.parallelism, self.completions, status=self.status, **self.spec)
        if self.completions is None:
            del made["spec"]["completions"]
        if self.deleting:
            made["metadata"]["deletionTimestamp"] = BEGAN
        return made

    def running(self):
        return [self._pod(number, text) for number, text in enumerate(self.pods.split())]

    def _pod(self, number, text):
        index, _, letter = text.rpartition(":")
        phase = {"R": R, "S": S, "F": F, "P": P, "T": R}[letter]
        condition = {"type": "Ready", "status": str(number < self.ready), "lastTransitionTime": BEGAN}
        return pod(f"p{number}", phase, index or None, deleting=letter == "T", conditions=[condition])


def seen(status):
    """Return a status as text: what counts in it."""
    shown = {name: status.get(name) or 0 for name in ("active", "succeeded", "failed")}
    return " ".join(f"{name[0]}{count}" for name, count in shown.items() if count)


def settle(given, backoff=Backoff()):  # noqa: B008
    """Return the first plan and the status that the job comes to."""
    owner, pods = given.job(), given.running()
    first = step = plan(owner, pods, NOW, backoff)
    for _ in range(ROUNDS):
        pods = carried_out(step, pods)
        owner = {**owner, "status": step.status}
        step = plan(owner, pods, NOW, step.backoff)
        if step.status == owner["status"]:
            break
    return first, step.status


def carried_out(step, pods):
    discarded, deleted, released = (
        {one["metadata"]["uid"] for one in ones} for ones in (step.discard, step.delete, step.release)
    )
    after = []
    for one in pods:
        uid, meta = one["metadata"]["uid"], dict(one["metadata"])
        if uid in discarded | deleted:
            meta["deletionTimestamp"] = BEGAN
        if uid in released | discarded:
            meta["finalizers"] = []
        after.append({**one, "metadata": meta})
    more = [pod(f"n{len(after) + number}", P, index) for number, index in enumerate(step.create)]
    return after + more


INDEXED = {"completionMode": "Indexed"}
NONE_LEFT = {"backoffLimit": 0}
ONCE = {"podReplacementPolicy": "Failed"}
BY_HAND = {"status": "False", "reason": "ConditionAddedManually", "message": "x"}

# What is given; how many pods are made (or of which indexes), how many stopped; what the status says at last.
CASES = {
    "start": (Given(2, 5), 2, 0, "a2"),
    "queue: start": (Given(2, None), 2, 0, "a2"),
    "pending": (Given(2, 5, "P P"), 0, 0, "a2"),
    "all there": (Given(3, 5, "R R R", 2), 0, 0, "a3"),
    "too few": (Given(2, 5, "R S"), 1, 0, "a2 s1"),
    "queue: only failed ones are replaced": (Given(1, None, "R F T", spec=ONCE), 0, 0, "a1 f1"),
    "one leaves and one failed": (Given(1, 1, "R F T"), 0, 0, "a1 f2"),
    "more leave than may run": (Given(1, 1, "R R T T T T", spec=ONCE), 0, 1, "a1"),
    "more leave, with a policy": (
        Given(1, 1, "R R T T T T", spec={"podFailurePolicy": {"rules": []}}), 0, 1, "a1"),
    "queue: one more": (Given(2, None, "R"), 1, 0, "a2"),
    "too many": (Given(2, 5, "R R R", 3), 0, 1, "a2"),
    "one of each": (Given(2, 5, "R S F"), 1, 0, "a2 s1 f1"),
    "counted long ago": (Given(1, 1, "R", status={"active": 1, "failed": 1}), 0, 0, "a1 f1"),
    "the end": (Given(2, 5, "S S S S S"), 0, 0, "s5", DONE),
    "queue: not the end yet": (Given(2, None, "R S"), 0, 0, "a1 s1"),
    "queue: the end": (Given(2, None, "S S"), 0, 0, "s2", DONE),
    "queue: the end, though one failed": (Given(2, None, "S F"), 0, 0, "s1 f1", DONE),
    "far too many": (Given(2, 5, "R R R R R R R R R R"), 0, 8, "a2"),
    "more than are left to do": (Given(3, 4, "R R R S S"), 0, 1, "a2 s2"),
    "on its way out": (Given(2, 5, "P R S", deleting=True), 0, 0, "a2 s1"),
    "on its way out, and failed": (Given(2, 5, "F", spec=NONE_LEFT, deleting=True), 0, 0, "f1", LOST),
    "on its way out, and suspended": (Given(2, 4, "R R", spec={"suspend": True}, deleting=True), 0, 0, "a2"),
    "indexed: start": (Given(2, 5, spec=INDEXED), [0, 1], 0, "a2"),
    "indexed: one leaves": (Given(2, 5, "T", spec=INDEXED | ONCE), [0], 0, "a1"),
    "indexed: the end": (Given(2, 3, "0:S 1:F 1:S 2:S", spec=INDEXED), [], 0, "s3 f1", DONE),
    "indexed: too many failed": (
        Given(2, 3, "0:S 1:F 2:R", spec=INDEXED | NONE_LEFT), [], 1, "s1 f2", LOST[:1]),
    "too many failed": (Given(2, 3, "R R F", 2, spec=NONE_LEFT), 0, 2, "f3", LOST[:1]),
    "indexed: one done twice": (Given(2, 3, "0:S 1:S 1:S", spec=INDEXED), [2], 0, "a1 s2"),
    "indexed: in the middle": (
        Given(8, 20, "0:R 2:S 3:P 4:S 5:S 7:S 8:S 9:S", spec=INDEXED), [1, 6, 10, 11, 12, 13], 0, "a8 s6"),
    "indexed: some failed": (Given(3, 4, "0:F 1:P 2:F", spec=INDEXED), [0, 2], 0, "a3 f2"),
    "indexed: some without one": (
        Given(2, 5, "R S F x:R x:S x:F x:P 0:S 1:R 2:R", spec=INDEXED), [], 3, "a2 s1"),
    "suspended": (Given(2, 4, "R R", 2, spec={"suspend": True}), 0, 2, "", SUSPENDED),
    "goes on": (
        Given(2, 4, status={"conditions": [
            {"type": "Suspended", "status": "True", "reason": "JobSuspended"}]}),
        2, 0, "a2", ["Suspended=False JobResumed"]),
    "said by hand not to have failed": (
        Given(1, 1, "R", 1, status={"conditions": [{"type": "FailureTarget", **BY_HAND}]}),
        0, 0, "a1", ["FailureTarget=False ConditionAddedManually"]),
    "said by hand not to be done": (
        Given(1, 1, "R", 1, status={"conditions": [{"type": "SuccessCriteriaMet", **BY_HAND}]}),
        0, 0, "a1", ["SuccessCriteriaMet=False ConditionAddedManually"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_settles(name):
    given, made, stopped, expected, *told = CASES[name]
    first, status = settle(given)
    assert (first.create if isinstance(made, list) else len(first.create)) == made
    assert len(first.delete) + len(first.discard) == stopped
    assert seen(status) == expected
    conditions = [f"{one['type']}={one['status']} {one['reason']}" for one in status.get("conditions") or ()]
    assert conditions == (told[0] if told else [])


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("queue: only failed ones are replaced", "terminating", 1),
        ("more leave than may run", "terminating", 5),
        ("too many", "terminating", 1),
        ("too many", "ready", 2),
        ("suspended", "terminating", 2),
        ("suspended", "ready", 0),
        ("on its way out, and suspended", "terminating", 0),
        ("indexed: the end", "completedIndexes", "0-2"),
        ("indexed: one done twice", "completedIndexes", "0,1"),
        ("indexed: in the middle", "completedIndexes", "2,4,5,7-9"),
        ("indexed: too many failed", "terminating", 1),
    ],
)
def test_what_else_the_status_says(name, key, value):
    _, status = settle(CASES[name][0])
    assert status[key] == value


@pytest.mark.parametrize(("failures", "made"), [(1, 0), (0, 1)])
def test_it_waits_after_a_failure(failures, made):
    first, _ = settle(Given(1, 1), Backoff(failures, NOW))
    assert len(first.create) == made


@pytest.mark.parametrize(
    ("pods", "first_stopped"),
    [("S F x:R 0:S 1:R 2:R 2:P", 2), ("0:S 5:R 6:S 7:P 8:F", 2)],
    ids=["taken twice", "out of range"],
)
def test_a_look_that_stops_pods_makes_none(pods, first_stopped):
    first = plan(Given(5, 5, pods, spec=INDEXED).job(), Given(5, 5, pods).running(), NOW)
    assert (len(first.discard), first.create) == (first_stopped, [])


def test_pods_of_a_job_on_its_way_out_are_let_go():
    given = Given(2, 5, "P R S", deleting=True)
    assert [one["metadata"]["name"] for one in plan(given.job(), given.running(), NOW).release] == [
        "p0", "p1", "p2"]  # fmt: skip


def test_the_annotation_of_an_index_is_what_the_cases_use():
    assert pod("x", index="3")["metadata"]["annotations"] == {ANNOTATION: "3"}
