"""Two servers over one etcd that seal and open alike, while the keys change under them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.storage.etcd import EtcdStore
from tiphys.testing.etcd import EtcdProcess

pytestmark = pytest.mark.etcd
SECRETS = "/api/v1/namespaces/default/secrets"


def write(path: Path, *names: str) -> Path:
    keys = [
        {"name": name, "secret": base64.b64encode(name.encode().ljust(32, b".")).decode()} for name in names
    ]
    rule = {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": keys}}]}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [rule],
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def test_what_one_seals_the_other_opens(serving: Any, tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path)
    await etcd.start()
    try:
        one_file, two_file = write(tmp_path / "a", "k1"), write(tmp_path / "b", "k2", "k1")
        async with (
            serving(EtcdStore([etcd.url]), encryption_provider_config=one_file) as one,
            serving(EtcdStore([etcd.url]), encryption_provider_config=two_file) as two,
        ):
            made = await one.create(SECRETS, {"metadata": {"name": "a"}, "data": {"k": "aHVzaA=="}})
            assert await two.get(f"{SECRETS}/a") == made
            made["data"]["k"] = "bmV3"
            changed = await two.put(f"{SECRETS}/a", made)
            answer = await one("GET", f"{SECRETS}/a")
            assert answer.message.endswith("no matching key was found for the provided AES transformer")
            write(one_file, "k1", "k2")
            sealed: Any = one.server._store
            assert sealed.reload()
            assert await one.get(f"{SECRETS}/a") == changed
            record = await sealed._store.get("/registry/secrets/default/a")
            assert record.value.startswith(b"k8s:enc:aesgcm:v1:k2:")
            await two("DELETE", f"{SECRETS}/a")
            assert (await one("GET", f"{SECRETS}/a")).status == 404
    finally:
        await etcd.end()
