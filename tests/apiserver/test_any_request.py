"""Any request that the published OpenAPI allows, and many that it does not: never an answer of 500 and above.

Values come from a seeded generator: a failure names its seed, and the same seed makes the same request.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tiphys.apimachinery.meta import gvk_of

pytestmark = pytest.mark.every_version
MANIFESTS = Path(__file__).parents[1] / "integration" / "manifests.yaml"
ROUNDS = 12
"""Of the slow run; the gate's run makes one request of each operation."""
ALLOWED = {503, 504}
"""There is no kubelet and no extension server here, and revisions may be asked for that are yet to come."""
AS_UPSTREAM = (
    b'"message":"failed to create typed patch object', b'"message":"failed to convert new object',
    b" does not contain declared merge key: ", b"expected a map[string]interface {}, but received a ",
    b'"message":"list element types are not identical: ',
)  # fmt: skip
"""What upstream answers with 500 as well: an applied object that its schema, or its type, cannot hold, and
items of a strategic merge patch that are none, or do not say which they mean."""
STREAMS = ("/log", "/exec", "/attach", "/portforward", "/proxy")
TYPES = (
    "application/json", "application/yaml", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", "",
)  # fmt: skip
ODD = (
    None, "", 0, -1, 1 << 70, 1.5, True, [], {}, [None], {"": ""}, "\u0000", "a" * 300, "§", [[1]],
    {"a": {"b": []}},
)  # fmt: skip
TEXTS = (
    "a", "x", "1", "10m", "nginx", "2026-01-01T00:00:00Z", "YQ==", "10.0.0.1", "", "Always", "not a label!",
)  # fmt: skip
NAMES = ("default", "a", "no-such", "A_b", "%2e%2e", "x" * 260, "a:b", "kube-system")
PARAMETERS = {
    "limit": ("1", "0", "-1", "x", str(1 << 70)),
    "continue": ("", "x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"),
    "resourceVersion": ("0", "1", "x", "-1", str(1 << 80)),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "Odd"),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a in", "=", "a==b,c!=d"),
    "fieldSelector": ("metadata.name=a", "x=y", "=", "metadata.name!=a,metadata.namespace=b", "a"),
    "dryRun": ("All", "Some", ""),
    "fieldManager": ("m", "x" * 200, "\u0001"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "Odd"),
    "force": ("true", "0", "odd"),
    "gracePeriodSeconds": ("0", "-1", "x", str(1 << 70)),
    "propagationPolicy": ("Orphan", "Foreground", "Odd"),
    "sendInitialEvents": ("true", "false"),
    "timeoutSeconds": ("1", "x", "-1"),
    "includeObject": ("None", "Odd"),
    "pretty": ("true", "x"),
}


class Maker:
    """Makes requests from the published document."""

    def __init__(self, document: Any, seed: str) -> None:
        self._definitions = document["definitions"]
        self._random = random.Random(seed)

    def value(self, schema: Any, depth: int = 0) -> Any:
        """Return a value that mostly fits a schema."""
        rng = self._random
        if rng.random() < 0.015:
            return rng.choice(ODD)
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        match schema.get("type"):
            case "object" if "properties" in schema:
                return self._object(schema, depth)
            case "array":
                return [
                    self.value(schema.get("items", {}), depth + 1) for _ in range(rng.choice((0, 1, 1, 2)))
                ]
            case "integer" | "number":
                return rng.choice((1, 1, 2, 80, 0, -5, 70000, 2**31 - 1))
            case "boolean":
                return rng.random() < 0.5
            case "string":
                return rng.choice((*schema.get("enum", ()), *TEXTS))
        return rng.choice(ODD)

    def _object(self, schema: Any, depth: int) -> dict[str, Any]:
        rng = self._random
        required = set(schema.get("required", ()))
        share = max(0.35 - 0.05 * depth, 0.05)
        return {
            key: self.value(child, depth + 1)
            for key, child in schema["properties"].items()
            if depth < 9 and (key in required or rng.random() < share)
        }

    def request(self, path: str, method: str, operation: Any) -> dict[str, Any]:
        """Return a request of one operation."""
        rng = self._random
        for word, usual in (("namespace", "default"), ("name", "a"), ("path", "x"), ("logpath", "x")):
            path = path.replace(f"{{{word}}}", usual if rng.random() < 0.85 else rng.choice(NAMES))
        queries = [one for one in PARAMETERS.items() if rng.random() < 0.04]
        query = "&".join(f"{name}={rng.choice(values)}" for name, values in queries)
        fits = [one.replace("*/*", TYPES[0]) for one in operation.get("consumes", TYPES[:1])]
        fits = [one for one in fits if "cbor" not in one] if rng.random() < 0.95 else [*TYPES]
        kind = rng.choice(fits)
        if "apply" in kind and rng.random() < 0.9:
            query = f"fieldManager=m&{query}"
        data = self._body(method, operation, kind)
        return {"method": method.upper(), "path": f"{path}?{query}", "body": data, "content_type": kind}

    def _body(self, method: str, operation: Any, kind: str) -> bytes:
        rng = self._random
        schema = next((one["schema"] for one in operation["parameters"] if one["in"] == "body"), None)
        if schema is None or rng.random() < 0.05:
            return b""
        if method == "patch":
            schema = operation["responses"]["200"]["schema"]
        if kind == "application/json-patch+json":
            value: Any = [self._step(schema) for _ in range(rng.choice((0, 1, 1, 3)))]
        else:
            value = self.value(schema)
            kinds = operation.get("x-kubernetes-group-version-kind")
            if isinstance(value, dict) and kinds and method != "delete" and rng.random() < 0.9:
                group, version = kinds["group"], kinds["version"]
                value |= {"apiVersion": f"{group}/{version}" if group else version, "kind": kinds["kind"]}
                value["metadata"] = {"name": "a"} if rng.random() < 0.7 else value.get("metadata", {})
        data = json.dumps(value).encode()
        return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.02 else data

    def _step(self, schema: Any) -> dict[str, Any]:
        """Return one operation of a JSON patch."""
        rng = self._random
        definition = self._definitions.get(schema.get("$ref", "").rpartition("/")[2], {})
        path = ""
        while definition.get("properties") and (not path or rng.random() < 0.6):
            name, child = rng.choice(list(definition["properties"].items()))
            path += f"/{name}"
            definition = self._definitions.get(child.get("$ref", "").rpartition("/")[2], {})
        path += rng.choice(("", "", "/0", "/-", "/x", "~", "/a~1b"))
        what = rng.choice(("add", "remove", "replace", "test", "copy", "move", "odd"))
        return {
            "op": what,
            "path": path,
            "from": rng.choice(("/metadata", path)),
            "value": self.value(definition),
        }


def operations(document: Any) -> list[tuple[str, str, Any]]:
    """Return every operation that answers without a stream."""
    found = []
    for path, item in document["paths"].items():
        if any(part in path for part in STREAMS) or "/watch/" in path:
            continue
        for method in ("get", "post", "put", "patch", "delete"):
            if method in item:
                parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                found.append((path, method, {**item[method], "parameters": parameters}))
    return found


async def fill(api: Any) -> None:
    """Make an object called ``a`` of every kind that can be made so."""
    for obj in yaml.load_all(MANIFESTS.read_text(), yaml.CSafeLoader):
        row = api.server.table.by_kind(gvk_of(obj))
        obj["metadata"] |= {"name": "a", "namespace": "default"} if row.namespaced else {"name": "a"}
        where = f"/apis/{obj['apiVersion']}" if row.group else "/api/v1"
        where += f"/namespaces/default/{row.plural}" if row.namespaced else f"/{row.plural}"
        await api("POST", where, obj)


def as_upstream(body: bytes) -> bool:
    """Whether upstream fails in the same way; what is laid out for people has more spaces."""
    told = body.replace(b'"message": ', b'"message":')
    return any(text in told for text in AS_UPSTREAM)


async def run(api: Any, seed: str) -> None:
    await fill(api)
    document = await api.get("/openapi/v2")
    listed = operations(document)
    assert len(listed) > 500
    for path, method, operation in listed:
        made = Maker(document, f"{seed} {method} {path}").request(path, method, operation)
        words = {key: made[key] for key in ("body", "content_type")}
        response = await api.send(made["method"], made["path"].replace("\u0000", ""), **words)
        where = f"seed {seed!r}: {made['method']} {made['path']} {made['body'][:600]!r}"
        if response.stream is not None:
            await response.stream.aclose()
            continue
        refused = response.status < 500 or response.status in ALLOWED or as_upstream(response.body)
        assert refused, f"{where}: {response.body!r}"
        if response.status >= 400 and response.body:
            status = orjson.loads(response.body) if response.body[:1] == b"{" else None
            assert status is None or (status["kind"], status["code"]) == ("Status", response.status), where


async def test_a_request_of_each_operation(api: Any) -> None:
    await run(api, "0")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
async def test_many_requests(api: Any, seed: int) -> None:
    async with asyncio.timeout(300):
        await run(api, str(seed))


async def test_a_service_without_a_name_takes_no_address(api: Any) -> None:
    before = (await api.get("/apis/networking.k8s.io/v1/ipaddresses"))["items"]
    answer = await api("POST", "/api/v1/namespaces/default/services", {"spec": {"ports": [{"port": 80}]}})
    assert (answer.status, "name or generateName is required" in answer.message) == (422, True)
    assert (await api.get("/apis/networking.k8s.io/v1/ipaddresses"))["items"] == before
