"""Where the API server keeps its objects, and for how long it waits for its stores.

Owns: the flags of stores and what they make. Refuses: what upstream would refuse of them (``server_flags``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tiphys.apiserver.options import STORE_CHECK_S
from tiphys.cmd.duration import DURATION, SIGNED_DURATION
from tiphys.storage.base import Store
from tiphys.storage.keyspace import KEYS_ROOT
from tiphys.wire.dial import Tunnel

if TYPE_CHECKING:
    from tiphys.storage.etcd import EtcdStore

_F = TypeVar("_F", bound=Callable[..., Any])
HISTORY_S, HISTORY_MIB, ETCD_COMPACTION_S = 3600.0, 512, 300.0
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_SERVERS, _OVERRIDES = "--etcd-servers", "--etcd-servers-overrides"
_OPTIONS = (
    click.option(
        "--store", default="memory", show_default=True, help="memory, sqlite:PATH or etcd:URL[,URL]"
    ),
    click.option(_SERVERS, default="", help="URLs of an etcd cluster; same as --store etcd:..."),
    click.option(
        _OVERRIDES,
        default="",
        help="group/resource#URL[;URL],...: other etcd clusters for some resources; not for custom ones. "
        "What the first store has of them stays there, unserved",
    ),
    click.option("--etcd-cafile", type=_FILE),
    click.option("--etcd-certfile", type=_FILE),
    click.option("--etcd-keyfile", type=_FILE),
    click.option("--etcd-prefix", default=KEYS_ROOT, show_default=True, help="what keys in etcd begin with"),
    click.option(
        "--etcd-compaction-interval",
        type=DURATION,
        default="5m",
        show_default=True,
        help="how often etcd's history is compacted; 0: never",
    ),
    click.option(
        "--etcd-staged-snapshot",
        type=click.Path(dir_okay=False, path_type=Path),
        help="a snapshot that is put back before serving, and removed then; there need not be one",
    ),
    click.option(
        "--history-age",
        type=DURATION,
        default="1h",
        show_default=True,
        help="for how long SQLite keeps old versions, which watches go on from",
    ),
    click.option(
        "--history-size",
        type=click.IntRange(1),
        default=HISTORY_MIB,
        show_default=True,
        help="MiB of old versions at most; the limit that is reached first holds",
    ),
    click.option(
        "--storage-initialization-timeout",
        type=SIGNED_DURATION,
        default="1m",
        show_default=True,
        help="for how long a slow store may fill indexes before the server listens without them",
    ),
    click.option(
        "--etcd-healthcheck-timeout",
        type=SIGNED_DURATION,
        default="2s",
        show_default=True,
        help="a store that takes longer to answer is at fault for the check etcd",
    ),
    click.option(
        "--etcd-readycheck-timeout",
        type=SIGNED_DURATION,
        default="2s",
        show_default=True,
        help="the same for etcd-readiness",
    ),
)


def store_flags(command: _F) -> _F:
    """Give a command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def store_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the flags mean; a check without time has the usual one."""
    return {
        "storage_initialization_s": flags["storage_initialization_timeout"],
        "store_check_s": flags["etcd_healthcheck_timeout"] or STORE_CHECK_S,
        "store_ready_check_s": flags["etcd_readycheck_timeout"] or STORE_CHECK_S,
    }


def overrides(text: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]] | None]:
    """Yield a (group, resource) with the URLs of its servers for each override; None for what is none."""
    for one in filter(None, text.split(",")):
        resource, *servers = one.split("#")
        group, *plural = resource.split("/")
        good = len(servers) == len(plural) == 1
        yield ((group, plural[0]), tuple(servers[0].split(";"))) if good else None


def is_etcd(flags: Mapping[str, Any]) -> bool:
    """Tell whether the first store is an etcd."""
    return bool(flags.get("etcd_servers")) or str(flags.get("store", "")).startswith("etcd:")


def open_store(text: str, flags: Mapping[str, Any] | None = None, through: Tunnel | None = None) -> Store:
    """Return the store that ``memory``, ``sqlite:PATH`` or ``etcd:URL[,URL]`` names, not yet opened.

    ``flags`` are those of etcd and of history; ``etcd_servers`` goes before ``text``. ``through`` leads
    to etcd.

    Raises:
        click.BadParameter: no such kind of store.
    """
    kind, _, rest = text.partition(":")
    flags = flags or {}
    if flags.get("etcd_servers"):
        kind, rest = "etcd", flags["etcd_servers"]
    if kind == "memory":
        from tiphys.storage.memory import MemoryStore

        return MemoryStore()
    if kind == "sqlite" and rest:
        from tiphys.storage.retention import Retention
        from tiphys.storage.sqlite import SqliteStore

        age_s, size_mib = flags.get("history_age", HISTORY_S), flags.get("history_size", HISTORY_MIB)
        return SqliteStore(Path(rest), retention=Retention(age_s, size_mib * 1024 * 1024))
    if kind == "etcd" and rest:
        return _etcd(rest.split(","), flags, through, _SERVERS, flags.get("etcd_staged_snapshot"))
    raise click.BadParameter("expected memory, sqlite:PATH or etcd:URL[,URL]", param_hint="--store")


def open_elsewhere(flags: Mapping[str, Any], through: Tunnel | None = None) -> dict[tuple[str, str], Store]:
    """Return the stores of resources that are not in the first one, not yet opened; the last word counts.

    Raises:
        click.BadParameter: a URL is none.
    """
    stores: dict[frozenset[str], Store] = {}
    found: dict[tuple[str, str], Store] = {}
    for override in overrides(flags["etcd_servers_overrides"]):
        if override is not None:
            resource, servers = override
            known = frozenset(servers)
            if known not in stores:
                stores[known] = _etcd(servers, flags, through, _OVERRIDES)
            found[resource] = stores[known]
    return found


def _etcd(
    servers: Sequence[str],
    flags: Mapping[str, Any],
    through: Tunnel | None,
    hint: str,
    staged: Path | None = None,
) -> EtcdStore:
    from tiphys.storage.etcd import EtcdStore
    from tiphys.storage.etcd_client import EtcdOptions

    options = EtcdOptions(
        flags.get("etcd_cafile"), flags.get("etcd_certfile"), flags.get("etcd_keyfile"), through=through
    )
    try:
        return EtcdStore(
            servers,
            root="/" + (flags.get("etcd_prefix") or KEYS_ROOT).strip("/"),
            base=KEYS_ROOT,
            options=options,
            compact_every_s=flags.get("etcd_compaction_interval", ETCD_COMPACTION_S),
            staged=staged,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=hint) from error
