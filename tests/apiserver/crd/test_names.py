"""Which names definitions get beside those of their group, and what their conditions say."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.crd.names import settle
from tiphys.apiserver.crd.text import outline

NOW, LATER = "2026-01-02T00:00:00Z", "2026-01-02T00:00:01Z"
WANTED = ("alfa", "delta-singular", "echo-kind", "foxtrot-listkind", "golf-1", "hotel-2")
OLD = ("zulu", "yankee-singular", "xray-kind", "whiskey-listkind", "victor-1", "uniform-2")
PAGE = "https://github.com/kubernetes/enhancements/pull/1111"
LEAD = 'protected groups must have approval annotation "api-approved.kubernetes.io"'


def named(
    plural: str, singular: str = "", kind: str = "", list_kind: str = "", *short: str
) -> dict[str, Any]:
    found: dict[str, Any] = {"plural": plural, "kind": kind, "singular": singular, "listKind": list_kind}
    kept = {key: value for key, value in found.items() if value or key in ("plural", "kind")}
    return kept | ({"shortNames": list(short)} if short else {})


def crd(*names: str, accepted: tuple[str, ...] = (), group: str = "bravo.com", **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"alfa.{group}", "generation": 3, **meta},
        "spec": {"group": group, "names": named(*names)},
        "status": {
            "acceptedNames": named(*accepted) if accepted else {"plural": "", "kind": ""},
            "conditions": [],
        },
    }


def other(*accepted: str) -> dict[str, Any]:
    return crd("india", accepted=accepted)


CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], tuple[str, ...], tuple[str, str]]] = {
    "first": (crd("alfa", "", "A"), [], ("alfa", "", "A"), ("NoConflicts", "no conflicts found")),
    "plural to singular": (
        crd(*WANTED),
        [other("india", "alfa")],
        ("", *WANTED[1:]),
        ("PluralConflict", '"alfa" is already in use'),
    ),
    "singular to short name": (
        crd(*WANTED),
        [other("india", "indias", "", "", "delta-singular")],
        ("alfa", "", *WANTED[2:]),
        ("SingularConflict", '"delta-singular" is already in use'),
    ),
    "short names, of which none is taken then": (
        crd(*WANTED),
        [other("india", "indias", "", "", "hotel-2", "golf-1")],
        WANTED[:4],
        ("ShortNamesConflict", '["golf-1" is already in use, "hotel-2" is already in use]'),
    ),
    "one short name": (
        crd(*WANTED),
        [other("india", "indias", "", "", "hotel-2")],
        WANTED[:4],
        ("ShortNamesConflict", '"hotel-2" is already in use'),
    ),
    "list kind to kind": (
        crd(*WANTED),
        [other("india", "indias", "foxtrot-listkind")],
        (*WANTED[:3], "", *WANTED[4:]),
        ("ListKindConflict", '"foxtrot-listkind" is already in use'),
    ),
    "what is in conflict stays, short names that are not are new": (
        crd(*WANTED, accepted=OLD),
        [other("india", "indias", "foxtrot-listkind", "", "delta-singular")],
        ("alfa", "yankee-singular", "echo-kind", "whiskey-listkind", "golf-1", "hotel-2"),
        ("ListKindConflict", '"foxtrot-listkind" is already in use'),
    ),
    "kind to list kind": (
        crd(*WANTED),
        [other("india", "indias", "", "echo-kind")],
        (*WANTED[:2], "", *WANTED[3:]),
        ("KindConflict", '"echo-kind" is already in use'),
    ),
    "kinds are no resources": (
        crd(*WANTED), [other("india", "echo-kind")], WANTED, ("NoConflicts", "no conflicts found"),
    ),
    "what is in conflict stays as it was": (
        crd(*WANTED, accepted=OLD),
        [other("india", "indias", "foxtrot-listkind", "", "delta-singular", "golf-1")],
        ("alfa", "yankee-singular", "echo-kind", "whiskey-listkind", "victor-1", "uniform-2"),
        ("ListKindConflict", '"foxtrot-listkind" is already in use'),
    ),
    "a short name less": (
        crd(*WANTED[:5], accepted=WANTED), [], WANTED[:5], ("NoConflicts", "no conflicts found"),
    ),
    "its own plural as a short name": (
        crd(*WANTED[:4], "alfa", accepted=WANTED[:4]), [], WANTED[:4],
        ("ShortNamesConflict", '"alfa" is already in use'),
    ),
    "what is had already is no conflict": (
        crd(*WANTED, accepted=WANTED),
        [other("india", "alfa", "echo-kind", "", "golf-1")],
        WANTED,
        ("NoConflicts", "no conflicts found"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_names(name: str) -> None:
    definition, others, names, (reason, message) = CASES[name]
    new = {**definition, "status": {**definition["status"], "conditions": []}}
    settle(new, others, NOW)
    assert new["status"]["acceptedNames"] == named(*names)
    accepted = reason == "NoConflicts"
    assert new["status"]["conditions"] == [
        {
            "type": "NamesAccepted",
            "status": str(accepted),
            "lastTransitionTime": NOW,
            "reason": reason,
            "message": message,
        },
        {"type": "Established", "status": "False", "lastTransitionTime": NOW}
        | (
            {"reason": "Installing", "message": "the initial names have been accepted"}
            if accepted
            else {"reason": "NotAccepted", "message": "not all names are accepted"}
        ),
    ]
    settle(new, others, LATER)
    names_accepted, established = new["status"]["conditions"]
    assert names_accepted["lastTransitionTime"] == NOW
    if accepted:
        assert established == {
            "type": "Established",
            "status": "True",
            "lastTransitionTime": LATER,
            "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
        }
    else:
        assert (established["status"], established["reason"]) == ("False", "NotAccepted")


def test_what_is_established_stays_so_and_what_is_not_installs_anew() -> None:
    """Whatever becomes of its names."""
    definition = crd(*WANTED)
    for _ in range(2):
        settle(definition, [], NOW)
    taken = [other("india", "indias", "", "", "kilo-1")]
    definition["spec"]["names"]["shortNames"] = ["kilo-1"]
    settle(definition, taken, NOW)
    told = [(one["status"], one["reason"]) for one in definition["status"]["conditions"]]
    assert told == [("False", "ShortNamesConflict"), ("True", "InitialNamesAccepted")]
    definition["status"]["conditions"][1]["status"] = "False"
    settle(definition, [], NOW)
    told = [(one["status"], one["reason"]) for one in definition["status"]["conditions"]]
    assert told == [("True", "NoConflicts"), ("False", "Installing")]


APPROVALS = {
    None: ("False", "MissingAnnotation", f"{LEAD}, see {PAGE}"),
    "http://a.example/1": ("True", "ApprovedAnnotation", "approved in http://a.example/1"),
    "http://[1": (
        "False",
        "InvalidAnnotation",
        f'{LEAD} with either a URL or a reason starting with "unapproved", see {PAGE}',
    ),
    "unapproved, for now": ("False", "UnapprovedAnnotation", 'not approved: "unapproved, for now"'),
    "yes": (
        "False",
        "InvalidAnnotation",
        f'{LEAD} with either a URL or a reason starting with "unapproved", see {PAGE}',
    ),
}


@pytest.mark.parametrize("text", APPROVALS)
def test_approvals(text: str | None) -> None:
    annotations = {} if text is None else {"api-approved.kubernetes.io": text}
    definition = crd("alfa", group="k8s.io", annotations=annotations)
    settle(definition, [], NOW)
    found = definition["status"]["conditions"][-1]
    assert found["type"] == "KubernetesAPIApprovalPolicyConformant"
    assert (found["status"], found["reason"], found["message"]) == APPROVALS[text]


def test_generations_are_told_where_they_are_tracked() -> None:
    definition = crd("alfa")
    settle(definition, [], NOW, tracks=True)
    assert [one["observedGeneration"] for one in definition["status"]["conditions"]] == [3, 3]
    settle(definition, [], NOW)
    assert not any("observedGeneration" in one for one in definition["status"]["conditions"])


async def test_what_one_gives_up_another_gets(api: Any, crds: Any) -> None:
    await crds.make(names={"shortNames": ["f"]})
    second = crds.definition(plural="bars", kind="Bar", names={"shortNames": ["f"]})
    await api.create(crds.path, second)
    waits = await crds.wait("bars.example.com", "NamesAccepted", "False")
    assert "shortNames" not in waits["status"]["acceptedNames"]
    await crds.change({"spec": {"names": {"shortNames": ["g"]}}})
    got = await crds.wait("bars.example.com", "NamesAccepted")
    assert got["status"]["acceptedNames"]["shortNames"] == ["f"]


def test_a_definition_whose_webhook_has_no_authority_is_not_served_before_it_has_one() -> None:
    one = crd(*WANTED)
    webhook = {
        "clientConfig": {"url": "https://a.b", "caBundle": "Q2c9PQo="},
        "conversionReviewVersions": ["v1"],
    }
    one["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    for _ in range(2):
        settle(one, (), NOW)
    told = {found["type"]: (found["status"], found["reason"]) for found in one["status"]["conditions"]}
    assert told == {"NamesAccepted": ("True", "NoConflicts"), "Established": ("False", "InvalidCABundle")}
    before = outline(one)
    settle(one, (), "2026-01-03T00:00:00Z")
    assert one == before
    del webhook["clientConfig"]["caBundle"]
    settle(one, (), NOW)
    assert one["status"]["conditions"][1]["reason"] == "InitialNamesAccepted"
