from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.cmd.apiserver import open_store
from tiphys.storage.etcd import EtcdStore
from tiphys.storage.memory import MemoryStore
from tiphys.storage.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("text", "flags", "kind"),
    [
        pytest.param("memory", {}, MemoryStore, id="memory"),
        pytest.param("sqlite:/nowhere/store.db", {}, SqliteStore, id="sqlite"),
        pytest.param("etcd:http://a:2379,http://b:2379", {}, EtcdStore, id="etcd"),
        pytest.param(
            "memory", {"etcd_servers": "https://a:2379", "etcd_cafile": Path("ca.crt")}, EtcdStore,
            id="the flags of etcd go first",
        ),
    ],
)  # fmt: skip
def test_stores(text: str, flags: dict[str, Any], kind: type) -> None:
    assert type(open_store(text, flags)) is kind


@pytest.mark.parametrize("text", ["", "sqlite:", "etcd:", "etcd:ftp://a", "postgres:x"])
def test_no_store(text: str) -> None:
    with pytest.raises(click.BadParameter):
        open_store(text)
