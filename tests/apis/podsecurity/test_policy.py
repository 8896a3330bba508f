"""What labels of a namespace ask for."""

from __future__ import annotations

import pytest

from tiphys.apis.podsecurity.policy import LATEST, Policy, Standard, minor_of, policy_of

PREFIX = "pod-security.kubernetes.io/"
OPEN = Standard()


def at(text: str) -> Standard:
    level, _, version = text.partition(":")
    minor = minor_of(version or "latest")
    assert minor is not None
    return Standard(level, minor)


LABELS: dict[str, tuple[str, str, str, str]] = {
    # labels -> enforce, warn, audit
    "enforce is warned about": ("enforce=baseline", "baseline", "baseline", ""),
    "warn alone": ("warn=restricted", "", "restricted", ""),
    "audit alone": ("audit=baseline", "", "", "baseline"),
    "enforce and warn": ("enforce=baseline warn=restricted", "baseline", "restricted", ""),
    "version of both": ("enforce=baseline enforce-version=v1.22", "baseline:v1.22", "baseline:v1.22", ""),
    "own version": (
        "enforce=baseline enforce-version=v1.22 warn-version=latest", "baseline:v1.22", "baseline:latest", ""
    ),
    "own version alone": ("enforce=baseline warn-version=v1.23", "baseline", "baseline:v1.23", ""),
    "all": (
        "enforce=baseline enforce-version=v1.20 warn=restricted warn-version=v1.21 audit=restricted "
        "audit-version=v1.22", "baseline:v1.20", "restricted:v1.21", "restricted:v1.22",
    ),
    "no warnings wanted": ("enforce=baseline warn=privileged", "baseline", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "enforce", "warn", "audit"), LABELS.values(), ids=LABELS)
def test_labels(labels: str, enforce: str, warn: str, audit: str) -> None:
    named = dict(pair.split("=") for pair in labels.split())
    found, faults = policy_of({"other": "x", **{PREFIX + key: value for key, value in named.items()}})
    wanted = (at(text) if text else OPEN for text in (enforce, audit, warn))
    assert (found, faults) == (Policy(*wanted), [])


WRONG: dict[str, tuple[dict[str, str], Policy]] = {
    "warn": ({"enforce": "baseline", "warn": "foo"}, Policy(enforce=at("baseline"))),
    "enforce": ({"enforce": "foo"}, Policy(enforce=at("restricted"))),
    "audit": ({"audit": "foo"}, Policy()),
    "version": ({"enforce": "baseline", "enforce-version": "1.1", "warn": "privileged"},
                Policy(enforce=at("baseline"))),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "policy"), WRONG.values(), ids=WRONG)
def test_labels_that_mean_nothing(labels: dict[str, str], policy: Policy) -> None:
    found, faults = policy_of({PREFIX + key: value for key, value in labels.items()})
    assert found == policy
    assert len(faults) == 1


def test_versions() -> None:
    assert [minor_of(text) for text in ("latest", "v1.0", "v1.20", "v1.10000")] == [LATEST, 0, 20, 10000]
    assert [minor_of(text) for text in ("foo", "", "v2.0", "v1", "1.1", "v1.01")] == [None] * 6


def test_the_open_level_is_the_same_in_every_version() -> None:
    assert at("privileged:v1.1").equivalent(at("privileged:latest"))
    assert not at("baseline:v1.1").equivalent(at("baseline:latest"))
    assert Policy(enforce=at("privileged:v1.2")).open
    assert not Policy(audit=at("baseline")).open
    assert Policy(enforce=at("privileged:v1.2")).equivalent(Policy())


def test_what_labels_say_of_a_policy() -> None:
    policy = Policy(at("baseline"), at("restricted:v1.3"), at("restricted"))
    labels = {PREFIX + "enforce": "x", PREFIX + "audit-version": "x"}
    assert policy.said(labels) == "enforce=baseline:latest, audit=restricted:v1.3"
