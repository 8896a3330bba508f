"""The command line's frame: names, laziness, help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tiphys.cmd.main import COMMANDS, cli, load


@pytest.mark.parametrize("name", ["up", "down", "status", "kubeconfig", "images", "proxy", "dns"])
def test_every_command_helps(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert load(name).name == name


def test_unknown_command() -> None:
    result = CliRunner().invoke(cli, ["upp"])
    assert result.exit_code == 2
    assert "upp" in result.output


@pytest.mark.slow
def test_help_imports_no_component() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tiphys.cmd.main import cli;"
        "print(CliRunner().invoke(cli, ['--help']).output);"
        "print([m for m in sys.modules if m.startswith('tiphys.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in out for name in COMMANDS)
    base = [f"tiphys.apimachinery{name}" for name in ("", ".collector", ".release")]
    assert str(["tiphys.cmd", *base, "tiphys.cmd.main"]) in out


@pytest.mark.slow
@pytest.mark.parametrize("module", ["tiphys.apiserver.server", "tiphys.testing"])
def test_what_few_servers_use_is_not_loaded(module: str) -> None:
    """gRPC and its messages are for etcd, KMS and signers outside: they take 20 ms of a start."""
    rare = ("google.", "grpc", "tiphys.apiserver.observe.tracing")
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith({rare})])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
