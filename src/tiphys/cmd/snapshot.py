"""``tiphys snapshot``: copy a cluster's objects to a file while it serves, and put them back.

Works on the SQLite file itself (``storage.snapshot``); a cluster on etcd is pointed to etcd's own tool.
"""

from __future__ import annotations

from pathlib import Path

import click

from tiphys.ctl import state
from tiphys.ctl.layout import DEFAULT_NAME, Cluster, CtlError
from tiphys.storage.base import StoreError, StoreUnavailable
from tiphys.storage.snapshot import Summary, look, save, stage
from tiphys.storage.sqlite_file import SqliteFile

_STOP_S = 20.0
_FILE = click.Path(dir_okay=False, path_type=Path)


def _store_of(name: str) -> tuple[Path, Cluster]:
    cluster = state.load(name)
    if cluster is None:
        raise click.ClickException(f"no cluster {name!r}")
    if cluster.store != "sqlite":
        raise click.ClickException(
            f"cluster {name!r} keeps its objects in etcd, which has a tool of its own:\n"
            f"  etcdctl --endpoints {cluster.etcd_url} snapshot save FILE\n"
            f"  etcdctl snapshot restore FILE --data-dir DIR"
        )
    return cluster.folder / "store.db", cluster


def _tell(did: str, found: Summary) -> None:
    click.echo(f"{did}: revision {found.revision}, {found.keys} keys, {found.size_bytes} bytes")


@click.group(help="Save a cluster's objects to a file and put them back.")
def snapshot() -> None:
    pass


@snapshot.command("save", help="Copy the objects of a cluster to FILE. The cluster goes on serving.")
@click.argument("file", type=_FILE)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster.")
@click.option("--store", type=_FILE, help="A store's file, instead of a cluster's name.")
def save_command(file: Path, name: str, store: Path | None) -> None:
    source = store or _store_of(name)[0]
    if not source.exists():
        raise click.ClickException(f"there is no store at {source}")
    try:
        _tell(f"saved to {file}", save(source, file))
    except StoreError as error:
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
    help="Put the objects in FILE in the place of a cluster's; the old ones stay beside them as"
    " store.db.before-restore. Resource versions jump forward, so clients list anew.",
)
@click.argument("file", type=_FILE)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Which cluster, running or not.")
@click.option("--store", type=_FILE, help="A store's file, instead of a cluster's name.")
def restore_command(file: Path, name: str, store: Path | None) -> None:
    target, cluster = (store, None) if store else _store_of(name)
    try:
        found = stage(file, target)
        taken = _take(target)
        if not taken and cluster is not None:
            with state.lock(cluster.folder):
                _end_api_server(cluster)
    except (StoreError, CtlError) as error:
        raise click.ClickException(str(error)) from error
    _tell(f"restored from {file}", found)
    if not taken and cluster is None:
        click.echo(f"{target} is in use: the API server takes the snapshot when it starts next")


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
