"""``tiphys why``: what is wrong with an object, in plain words. Works with any Kubernetes API."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import StatusError
from tiphys.client import kubeconfig
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.ctl import state
from tiphys.ctl.layout import DEFAULT_NAME, CtlError
from tiphys.ctl.why.explain import kind_named, split_target, summary
from tiphys.ctl.why.lookup import look_up
from tiphys.ctl.why.read import read
from tiphys.ctl.why.render import as_data, render

_HELP = """Say why an object is not as it should be.

\b
  tiphys why pod/web            pending, not ready, restarting, not going away
  tiphys why deploy/web -n shop too few pods, a stuck rollout
  tiphys why svc/web            no endpoints
  tiphys why pvc/data           not bound
  tiphys why node/node-1        not ready, takes no pods
  tiphys why job/backup         failed, does not finish
  tiphys why ns/old             stays Terminating

It only reads, over the API of any Kubernetes: the cluster of --kubeconfig, of $KUBECONFIG, of 'tiphys up',
or of ~/.kube/config, the first there is. Also replicaset, statefulset, daemonset.

Of any other kind it says what holds a deletion up, and what conditions and warnings tell.
"""


@click.command(help=_HELP)
@click.argument("target", nargs=-1, required=True, metavar="KIND/NAME")
@click.option("-n", "--namespace", default="", help="Where it is.  [default: the context's]")
@click.option("--kubeconfig", "path", default="", help="Which kubeconfig file.")
@click.option("--context", default="", help="Which context of it.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def why(target: tuple[str, ...], namespace: str, path: str, context: str, output: str) -> None:
    try:
        word, name = split_target(target)
        file = config_path(path)
        config = kubeconfig.load(file, context)
        text = asyncio.run(_answer(config, word, name, namespace or config.namespace, output))
    except (CtlError, kubeconfig.ConfigError, StatusError, TransportError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(text, nl=False)


def config_path(path: str) -> Path:
    """Return the kubeconfig to use. Raises CtlError when there is none."""
    if path:
        return Path(path)
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return Path(next((part for part in named if Path(part).exists()), named[0]))
    cluster = state.load(DEFAULT_NAME)
    if cluster is not None and cluster.kubeconfig.exists():
        return cluster.kubeconfig
    home = Path.home() / ".kube" / "config"
    if not home.exists():
        raise CtlError(
            "no kubeconfig: name one with --kubeconfig or KUBECONFIG, or start a cluster with 'tiphys up'"
        )
    return home


async def _answer(config: kubeconfig.ClientConfig, word: str, name: str, namespace: str, output: str) -> str:
    client = Client(config.transport(), user_agent="tiphys-why")
    try:
        kind = kind_named(word) or await look_up(client, word)
        obj, scene = await read(client, kind, name, namespace, RealClock())
    finally:
        await client.close()
    obj.setdefault("kind", kind.names[0])
    findings = kind.explain(obj, scene)
    line = summary(obj, kind, scene)
    if output == "json":
        return json.dumps(as_data(line, findings, scene.unread), indent=2) + "\n"
    return render(line, findings, scene.unread)
