"""Leader election by flags and by configuration; upstream's form of booleans."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from tiphys.client.leaderelection import Election, Timings
from tiphys.cmd.controller_manager import controller_manager, options_from
from tiphys.cmd.election_flags import election_flags, read_election
from tiphys.cmd.scheduler import options_from as scheduler_options
from tiphys.cmd.scheduler import scheduler

USUAL = Election("kube-thing")


def parse(*words: str, document: dict[str, Any] | None = None) -> tuple[bool, Election]:
    found: list[tuple[bool, Election]] = []

    @click.command()
    @election_flags
    def command(**flags: Any) -> None:
        found.append(read_election(flags, "kube-thing", document))
        assert not flags

    result = CliRunner().invoke(command, list(words), standalone_mode=False)
    if result.exception:
        raise result.exception
    return found[0]


CASES: dict[str, tuple[tuple[str, ...], dict[str, Any] | None, tuple[bool, Election]]] = {
    "nothing": ((), None, (True, USUAL)),
    "bare": (("--leader-elect",), None, (True, USUAL)),
    "with a value": (("--leader-elect=true",), None, (True, USUAL)),
    "off": (("--leader-elect=false",), None, (False, USUAL)),
    "named": (
        ("--leader-elect-resource-name=a", "--leader-elect-resource-namespace=b"),
        None,
        (True, Election("a", "b")),
    ),
    "timed": (
        (
            "--leader-elect-lease-duration=1m",
            "--leader-elect-renew-deadline=40s",
            "--leader-elect-retry-period=5s",
            "--leader-elect-resource-lock=leases",
        ),
        None,
        (True, Election("kube-thing", timings=Timings(60, 40.0, 5.0))),
    ),
    "a document": (
        (),
        {"leaderElect": True, "leaseDuration": "30s", "renewDeadline": "20s", "resourceNamespace": "b"},
        (True, Election("kube-thing", "b", Timings(30, 20.0, 2.0))),
    ),
    "turned off by a document": ((), {"leaderElect": False}, (False, USUAL)),
    "flags beat the document": (
        ("--leader-elect-lease-duration=50s",),
        {"leaseDuration": "30s"},
        (True, Election("kube-thing", timings=Timings(50, 10.0, 2.0))),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_read(case: tuple[tuple[str, ...], dict[str, Any] | None, tuple[bool, Election]]) -> None:
    words, document, expected = case
    assert parse(*words, document=document) == expected


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--leader-elect-renew-deadline=15s",), "LeaseDuration must be greater than RenewDeadline"),
        (
            ("--leader-elect-retry-period=9s",),
            r"renewDeadline must be greater than retryPeriod\*JitterFactor",
        ),
        (("--leader-elect-resource-lock=endpoints",), "is not 'leases'|invalid choice"),
    ],
)
def test_refused(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        parse(*words)


def test_the_controller_manager_takes_upstreams_forms() -> None:
    words = [
        "--kubeconfig=x",
        "--leader-elect=true",
        "--use-service-account-credentials=false",
        "--allocate-node-cidrs=false",
        "--cluster-cidr=10.0.0.0/16",
        "--leader-elect-resource-name=mine",
    ]
    parsed = controller_manager.make_context("controller-manager", words).params
    options = options_from(parsed)
    assert options.leader_elect
    assert options.election == Election("mine")
    assert not options.use_service_account_credentials
    assert options.cluster_cidr == ""


def scheduler_flags(*words: str) -> dict[str, Any]:
    parsed = scheduler.make_context("scheduler", ["--kubeconfig=x", *words]).params
    return {name: value for name, value in parsed.items() if name.startswith("leader_elect")}


def test_the_schedulers_document_names_profiles_and_lease() -> None:
    document = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "one"}, {"schedulerName": "two"}],
        "leaderElection": {"leaderElect": True, "resourceName": "mine"},
    }
    options = scheduler_options("default-scheduler", document, scheduler_flags())
    assert options.leader_elect
    assert options.election == Election("mine")
    assert [profile.name for profile in options.settings().profiles] == ["one", "two"]
    plain = scheduler_options("own", {}, scheduler_flags("--leader-elect=true"))
    assert plain.election == Election("kube-scheduler")
    assert [profile.name for profile in plain.settings().profiles] == ["own"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "the configuration is no KubeSchedulerConfiguration"),
        ("- a", "no object"),
        ("{", "no YAML"),
        (None, "No such file"),
    ],
)
def test_a_bad_configuration_is_told(tmp_path: Any, text: str | None, says: str) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(scheduler, ["--kubeconfig=x", f"--config={path}"])
    assert result.exit_code != 0
    assert says in result.output
