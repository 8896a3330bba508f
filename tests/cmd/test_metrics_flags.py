"""Flags about metrics: what is taken, what is shown then, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.client import exposition
from tiphys.cmd import apiserver, controller_manager, scheduler
from tiphys.cmd.component import FlagError
from tiphys.cmd.metrics_flags import apply_metrics, metric_faults
from tiphys.cmd.serving_flags import read_serving

COMMANDS: list[tuple[click.Command, list[str]]] = [
    (apiserver.apiserver, []),
    (controller_manager.controller_manager, ["--kubeconfig=x"]),
    (scheduler.scheduler, []),
]
HIDDEN = (
    "--show-hidden-metrics-for-version must be omitted or have the value '1.35'. "
    "Only the previous minor version is allowed"
)
FORM = (
    "--allow-metric-labels must have a list of kv pair with format "
    "`metricName,labelName=labelValue, labelValue,...`"
)
DISABLED = (
    '--disabled-metrics must be fully qualified metric names matching "^[a-zA-Z_:][a-zA-Z0-9_:]*$", got'
)


@pytest.fixture(autouse=True)
def shown() -> Iterator[None]:
    yield
    exposition.disable(())
    exposition.constrain({})
    exposition.show_hidden(shown=False)


def flags_of(command: click.Command, *line: str) -> dict[str, Any]:
    with command.make_context("x", list(line)) as ctx:
        return dict(ctx.params)


def told(*line: str) -> Any:
    apply_metrics(flags_of(apiserver.apiserver, *line))
    return exposition._allowed


@pytest.mark.parametrize(("command", "needed"), COMMANDS)
def test_every_component_that_serves_takes_them(command: click.Command, needed: list[str]) -> None:
    line = ["--disabled-metrics=a,b", "--disabled-metrics=c", "--show-hidden-metrics-for-version=1.35"]
    flags = flags_of(command, *needed, *line, "--allow-metric-labels=m,l=v1,v2")
    apply_metrics(flags) if command is apiserver.apiserver else read_serving(flags)
    assert exposition._disabled == {"a", "b", "c"}
    assert exposition._allowed == {"m": {"l": {"v1", "v2"}}}
    assert exposition._showing_hidden == [True]


def test_labels_by_themselves_and_several_at_once() -> None:
    line = [f"--allow-metric-labels={one}" for one in ("m,l=v1,v2", "m,k=w", "n,l=x")]
    assert told(*line) == {"m": {"l": {"v1", "v2"}, "k": {"w"}}, "n": {"l": {"x"}}}
    assert told('--allow-metric-labels="m,l=v1,v2","n,l=x"') == {"m": {"l": {"v1", "v2"}}, "n": {"l": {"x"}}}
    assert told('--allow-metric-labels="m,l=v"') == {"m": {"l": {"v"}}}


def test_labels_of_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text('"m,code": 200\n"m,verb": GET,PUT\n')
    flag = f"--allow-metric-labels-manifest={path}"
    assert told(flag) == {"m": {"code": {"200"}, "verb": {"GET", "PUT"}}}
    assert told(flag, "--allow-metric-labels=n,l=v") == {"n": {"l": {"v"}}}, "flags go before it"


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        (["--show-hidden-metrics-for-version=1.35"], []),
        (["--show-hidden-metrics-for-version=1.34"], [HIDDEN]),
        (["--show-hidden-metrics-for-version=1.36"], [HIDDEN]),
        (["--disabled-metrics=good", "--disabled-metrics=1bad,2bad"], [f'{DISABLED} "1bad"']),
        (["--disabled-metrics=a,"], [f'{DISABLED} ""']),
        (["--allow-metric-labels=m=v"], [FORM]),
        (["--allow-metric-labels=m,l,k=v"], [FORM]),
        (["--allow-metric-labels=1,l=v", "--disabled-metrics=-"], [f'{DISABLED} "-"', FORM]),
        (
            ["--allow-metric-labels-manifest=/none"],
            ["failed to read allow list manifest: open /none: no such file or directory"],
        ),
    ],
)
def test_faults(line: list[str], faults: list[str]) -> None:
    flags = flags_of(apiserver.apiserver, *line)
    assert list(metric_faults(flags)) == faults
    if faults:
        with pytest.raises(FlagError) as found:
            apply_metrics(flags)
        assert found.value.message == (faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("metric: v\n", f"invalid allow list mapping in manifest: {FORM}"),
        ("- a\n", "failed to parse allow list manifest: yaml: "),
        ("m,l: [v]\n", "failed to parse allow list manifest: yaml: "),
        ("a: b: c\n", "failed to parse allow list manifest: yaml: "),
    ],
)
def test_faults_of_a_manifest(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    (found,) = metric_faults(flags_of(apiserver.apiserver, f"--allow-metric-labels-manifest={path}"))
    assert found.startswith(fault)


@pytest.mark.parametrize(("value", "why"), [("m,l", "m,l"), ("a=b,c,d=e", "c"), ("", "")])
def test_what_are_no_pairs(value: str, why: str) -> None:
    with pytest.raises(FlagError) as found:
        flags_of(apiserver.apiserver, f"--allow-metric-labels={value}")
    assert found.value.message == (
        f'invalid argument "{value}" for "--allow-metric-labels" flag: {why} must be formatted as key=value'
    )


def test_an_api_server_tells_all_its_faults_at_once() -> None:
    line = ["--secure-port=0", "--disabled-metrics=-", "--advertise-address=192.0.2.7"]
    with apiserver.apiserver.make_context("x", line) as ctx, ctx.scope(), pytest.raises(FlagError) as found:
        apiserver.options_from(dict(ctx.params))
    assert found.value.message == (
        "[--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0, "
        f'{DISABLED} "-"]'
    )
