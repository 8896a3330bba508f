"""What the server says of every kind, as texts to read: discovery, columns, defaults, checks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MANIFESTS = Path(__file__).parent.parent / "integration" / "manifests.yaml"
RANDOM = ("Secret", "CertificateSigningRequest", "ClusterTrustBundle", "PodCertificateRequest")
"""Kinds whose manifests want a certificate or a key made for the occasion."""


def _columns(rows: list[tuple[str, ...]]) -> str:
    """Lay rows out; one may be longer than others: an address has a cell that no column is named for."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _manifests() -> Iterator[dict[str, Any]]:
    for one in yaml.load_all(MANIFESTS.read_text().replace("sweep-namespace", "default"), yaml.CSafeLoader):
        if one["kind"] not in RANDOM:
            yield one


@pytest.fixture
async def paths(api: Any) -> dict[tuple[str, str], str]:
    """From apiVersion and kind to the path of the kind's collection."""
    found = {}
    for root in ("/api", "/apis"):
        for group in (await api.get(root, accept=AGGREGATED))["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                api_version = f"{name}/{version['version']}" if name else version["version"]
                for one in version["resources"]:
                    scope = "/namespaces/default" if one["scope"] == "Namespaced" else ""
                    path = f"{root}/{api_version}{scope}/{one['resource']}"
                    found.setdefault((api_version, one["responseKind"]["kind"]), path)
    return found


def _settled(answer: Any, meta: dict[str, Any]) -> Any:
    """Return what was answered without what differs from run to run."""
    return orjson.loads(answer.raw.replace(str(meta["uid"]).encode(), b"UID"))


async def _served(api: Any) -> str:
    rows = [("NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES")]
    for root in ("/api", "/apis"):
        for group in (await api.get(root, accept=AGGREGATED))["items"]:
            for version in group["versions"]:
                name = "/".join(filter(None, (group["metadata"].get("name"), version["version"])))
                for one in version["resources"]:
                    for sub in (None, *one.get("subresources", ())):
                        part = one if sub is None else sub
                        rows.append(
                            (
                                one["resource"] + (f"/{sub['subresource']}" if sub else ""),
                                ",".join(part.get("shortNames", ())),
                                name,
                                str(one["scope"] == "Namespaced").lower(),
                                part["responseKind"]["kind"],
                                ",".join(part["verbs"]),
                                ",".join(part.get("categories", ())),
                            )
                        )
    return _columns(rows)


async def test_what_is_served(api: Any, golden: Any) -> None:
    golden("api-resources.txt", await _served(api))


@pytest.mark.every_version
async def test_what_is_served_when_all_is_asked_for(api: Any, golden: Any) -> None:
    golden("every-api-resource.txt", await _served(api))


@pytest.mark.every_version
async def test_what_a_creation_becomes(api: Any, paths: dict[Any, str], golden: Any) -> None:
    """The smallest object of every kind and what defaults and admission add to it."""
    made = []
    for manifest in _manifests():
        path = paths[manifest["apiVersion"], manifest["kind"]]
        answer = await api("POST", f"{path}?dryRun=All", manifest)
        assert answer.status == 201, answer.raw
        obj = _settled(answer, answer.json["metadata"])
        obj["metadata"].pop("managedFields", None)
        made.append(obj)
    golden("defaults.yaml", yaml.safe_dump_all(made, sort_keys=True, width=110))


@pytest.mark.every_version
async def test_what_is_printed(api: Any, paths: dict[Any, str], golden: Any) -> None:
    """The table that each kind is shown as. Columns in brackets come with ``-o wide`` only."""
    text = ""
    for manifest in _manifests():
        path = paths[manifest["apiVersion"], manifest["kind"]]
        answer = await api("POST", f"{path}?dryRun=All", manifest, accept=TABLE)
        assert answer.status == 201, answer.raw
        table = _settled(answer, answer.json["rows"][0]["object"]["metadata"])
        heads = tuple(
            f"[{one['name'].upper()}]" if one.get("priority") else one["name"].upper()
            for one in table["columnDefinitions"]
        )
        rows = [tuple(str(cell) for cell in row["cells"]) for row in table["rows"]]
        text += f"# {manifest['apiVersion']} {manifest['kind']}\n{_columns([heads, *rows])}\n"
    golden("columns.txt", text)
