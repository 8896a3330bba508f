"""``tiphys snapshot``: copy a cluster's objects to a file while it serves, and put them back.

Of a cluster on SQLite the file itself is copied (``storage.snapshot``), of one on etcd the keys are read and
written (``storage.etcd_snapshot``). The files are of one kind: what was saved of one store can be put into
the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

import click

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.ctl import state
from tiphys.ctl.layout import DEFAULT_NAME, Cluster, CtlError
from tiphys.storage import etcd_snapshot
from tiphys.storage.base import StoreError, StoreUnavailable
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.etcd_client import EtcdOptions
from tiphys.storage.keyspace import KEYS_ROOT
from tiphys.storage.snapshot import Summary, check, look, save, stage, stage_at
from tiphys.storage.sqlite_file import SqliteFile

_STOP_S = 20.0
_FILE = click.Path(dir_okay=False, path_type=Path)
_GIVEN = click.Path(exists=True, dir_okay=False, path_type=Path)
_PREFIX = "What the keys of that etcd begin with."
_F = TypeVar("_F", bound=Callable[..., Any])
_EtcdFlags = Mapping[str, Any]
_STORE = "A store (PATH, sqlite:PATH or etcd:URL[,URL]) instead of a cluster's name."


def _cluster(name: str) -> Cluster:
    cluster = state.load(name)
    if cluster is None:
        raise click.ClickException(f"no cluster {name!r}")
    return cluster


@dataclass(frozen=True, slots=True)
class _Etcd:
    """Where an etcd is, and how to reach what in it."""

    urls: tuple[str, ...]
    options: EtcdOptions = field(default_factory=EtcdOptions)
    root: str = KEYS_ROOT


def _place(cluster: Cluster | None, text: str, etcd: _EtcdFlags) -> Path | _Etcd:
    """Return where objects are kept: a file, or an etcd."""
    if cluster is not None:
        return _Etcd((cluster.etcd_url,)) if cluster.store == "etcd" else cluster.folder / "store.db"
    kind, colon, rest = text.partition(":")
    if colon and kind == "etcd":
        options = EtcdOptions(etcd["etcd_cafile"], etcd["etcd_certfile"], etcd["etcd_keyfile"])
        return _Etcd(tuple(rest.split(",")), options, "/" + etcd["etcd_prefix"].strip("/"))
    return Path(rest if colon and kind == "sqlite" else text)


@asynccontextmanager
async def _etcd(place: _Etcd) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(place.urls, root=place.root, base=KEYS_ROOT, options=place.options, compact_every_s=0)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _save_etcd(place: _Etcd, file: Path) -> Summary:
    async with _etcd(place) as store:
        return await etcd_snapshot.save(store, file, RealClock().now().timestamp())


async def _put_back(file: Path, place: _Etcd) -> Summary:
    async with _etcd(place) as store:
        return await etcd_snapshot.put_back(store, file, RealClock().now().timestamp())


def _tell(did: str, found: Summary) -> None:
    click.echo(f"{did}: revision {found.revision}, {found.keys} keys, {found.size_bytes} bytes")


def _etcd_flags(command: _F) -> _F:
    """Give a command the API server's flags of etcd, by etcdctl's names as well."""
    for flag, other, text in reversed(
        (
            ("--etcd-cafile", "--cacert", "Of an etcd with certificates: who signs its own."),
            ("--etcd-certfile", "--cert", "What it is shown."),
            ("--etcd-keyfile", "--key", "The key of that."),
        )
    ):
        command = click.option(flag, other, flag[2:].replace("-", "_"), type=_GIVEN, help=text)(command)
    return click.option("--etcd-prefix", default=KEYS_ROOT, show_default=True, help=_PREFIX)(command)


@click.group(help="Save a cluster's objects to a file and put them back.")
def snapshot() -> None:
    pass


@snapshot.command(
    "save",
    help="Copy the objects of a cluster to FILE. The cluster goes on serving. Each etcd of"
    " --etcd-servers-overrides is saved by itself, with --store: of several no one moment is saved.",
)
@click.argument("file", type=_FILE)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option("--store", default="", help=_STORE)
@_etcd_flags
def save_command(file: Path, name: str, store: str, **etcd: Any) -> None:
    source = _place(None if store else _cluster(name), store, etcd)
    if isinstance(source, Path) and not source.exists():
        raise click.ClickException(f"there is no store at {source}")
    try:
        found = save(source, file) if isinstance(source, Path) else asyncio.run(_save_etcd(source, file))
        _tell(f"saved to {file}", found)
    except (StoreError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@snapshot.command("status", help="Show what a snapshot holds.")
@click.argument("file", type=_FILE)
def status_command(file: Path) -> None:
    try:
        _tell(str(file), look(file))
    except StoreError as error:
        raise click.ClickException(str(error)) from error


@snapshot.command(
    "restore",
    help="Put the objects in FILE in the place of a cluster's. With SQLite the old ones stay beside them as"
    " store.db.before-restore, and resource versions jump forward, so clients list anew; in etcd keys are"
    " written like any others. No API server may use an etcd that is named with --store meanwhile."
    " Each etcd of --etcd-servers-overrides is put back by itself.",
)
@click.argument("file", type=_FILE)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster, running or not.")
@click.option("--store", default="", help=_STORE)
@_etcd_flags
def restore_command(file: Path, name: str, store: str, **etcd: Any) -> None:
    cluster = None if store else _cluster(name)
    target = _place(cluster, store, etcd)
    try:
        if cluster is not None:
            found = _restore_cluster(file, cluster)
        elif isinstance(target, Path):
            found = stage(file, target)
            if not _take(target):
                click.echo(f"{target} is in use: the API server takes the snapshot when it starts next")
        else:
            check(file)
            found = asyncio.run(_put_back(file, target))
    except (StoreError, CtlError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _tell(f"restored from {file}", found)


def _restore_cluster(file: Path, cluster: Cluster) -> Summary:
    """Lay a snapshot down for the API server of a cluster and let it begin anew, if it runs."""
    if cluster.store == "etcd":
        found, taken = stage_at(file, cluster.staged_snapshot), False
    else:
        found = stage(file, cluster.folder / "store.db")
        taken = _take(cluster.folder / "store.db")
    if not taken:
        with state.lock(cluster.folder):
            _end_api_server(cluster)
    return found


def _end_api_server(cluster: Cluster) -> None:
    """End the API server, if it runs: its supervisor starts it again, and it takes what is staged."""
    record = state.read_json(cluster.folder / "processes.json") or {}
    entry = record.get("components", {}).get("apiserver", {})
    state.stop_process(entry.get("pid", 0), entry.get("started", 0), grace_s=_STOP_S)


def _take(store: Path) -> bool:
    """Let the snapshot take its place now, unless a server has the store."""
    file = SqliteFile(store)
    try:
        file.open()
    except StoreUnavailable:
        return False
    file.close()
    return True
