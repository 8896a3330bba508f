"""Flags about HTTP/2: what they mean, and upstream's refusals."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tiphys.cmd.apiserver import apiserver, options_from
from tiphys.cmd.component import FlagError
from tiphys.cmd.controller_manager import controller_manager
from tiphys.cmd.gate_flags import read_tls
from tiphys.cmd.http2_flags import read_limits
from tiphys.cmd.kubelet import kubelet
from tiphys.cmd.scheduler import scheduler
from tiphys.cmd.serving_flags import read_serving
from tiphys.wire.tls_options import HTTP1, HTTP2


def flags_of(command: click.Command, *line: str) -> dict[str, Any]:
    needed = "--advertise-address=192.0.2.7" if command is apiserver else f"--kubeconfig={__file__}"
    with command.make_context("x", [needed, *line]) as ctx:
        return dict(ctx.params)


@pytest.mark.parametrize(
    ("line", "streams", "chance", "protocols"),
    [
        ([], 100, 0.0, HTTP2),
        (["--http2-max-streams-per-connection=7"], 7, 0.0, HTTP2),
        (["--http2-max-streams-per-connection=0"], 100, 0.0, HTTP2),
        (["--http2-max-streams-per-connection=-3"], 100, 0.0, HTTP2),
        (["--goaway-chance=0.02"], 100, 0.02, HTTP2),
        (["--disable-http2-serving"], 100, 0.0, HTTP1),
        (["--disable-http2-serving=true"], 100, 0.0, HTTP1),
        (["--disable-http2-serving=false"], 100, 0.0, HTTP2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_of_the_api_server(line: list[str], streams: int, chance: float, protocols: tuple[str, ...]) -> None:
    flags = flags_of(apiserver, *line)
    limits = read_limits(flags)
    assert (limits.max_streams, limits.goaway_chance) == (streams, chance)
    assert read_tls(flags).protocols == protocols


@pytest.mark.parametrize("command", [apiserver, controller_manager, scheduler])
@pytest.mark.parametrize(("line", "shared"), [([], False), (["--permit-port-sharing"], True)])
def test_ports_are_shared_where_that_is_said(command: click.Command, line: list[str], shared: bool) -> None:
    flags = flags_of(command, *line)
    limits = read_limits(flags) if command is apiserver else read_serving(flags).limits
    assert limits.shares_port is shared


@pytest.mark.parametrize("chance", ["-0.01", "0.03"])
def test_how_often_is_bounded(chance: str) -> None:
    flags = ["--advertise-address=192.0.2.7", f"--goaway-chance={chance}"]
    with apiserver.make_context("x", flags) as ctx, ctx.scope(), pytest.raises(FlagError) as caught:
        options_from(dict(ctx.params))
    assert str(caught.value) == "--goaway-chance can not be less than 0 or greater than 0.02"


@pytest.mark.parametrize("command", [controller_manager, scheduler], ids=["controller-manager", "scheduler"])
def test_of_components(command: click.Command) -> None:
    options = read_serving(
        flags_of(command, "--disable-http2-serving", "--http2-max-streams-per-connection=9")
    )
    assert (options.limits.max_streams, options.tls.protocols) == (9, HTTP1)
    options = read_serving(flags_of(command))
    assert (options.limits.max_streams, options.tls.protocols) == (100, HTTP2)


def test_the_kubelet_has_no_such_flag() -> None:
    assert not {"disable_http2_serving", "goaway_chance"} & {one.name for one in kubelet.params}
