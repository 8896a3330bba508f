"""An API server of its own behind the aggregation layer: ``wardle.example.com/v1alpha1`` with its flunders.

It runs as a container of Python's standard library alone. What it does is what every such server does: its
storage is an etcd beside it, it believes the front proxy that the cluster's ConfigMap names, and has tokens
reviewed and every request authorized by the cluster. ``sample_image`` packs it, ``test_aggregated`` runs it.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import http.server
import json
import re
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

Object = dict[str, Any]
GROUP, VERSION, KIND, PLURAL = "wardle.example.com", "v1alpha1", "Flunder", "flunders"
API = f"{GROUP}/{VERSION}"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_OBJECTS = re.compile(rf"/apis/{re.escape(API)}(?:/namespaces/([^/]+))?/{PLURAL}(?:/([^/]+))?")
_HEALTH = ("/healthz", "/livez", "/readyz")
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_RESOURCE: Object = {
    "name": PLURAL, "singularName": "flunder", "namespaced": True, "kind": KIND, "verbs": _VERBS,
}  # fmt: skip
_SPEC_FIELDS = {
    "reference": {"type": "string", "description": "Name of another flunder."},
    "referenceType": {"type": "string", "enum": ["", "Flunder", "Fischer"]},
}
_SCHEMA: Object = {
    "type": "object",
    "description": "Flunder is an example type with a list of test references.",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {"type": "object", "description": "What is wanted.", "properties": _SPEC_FIELDS},
        "status": {"type": "object"},
    },
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": KIND}],
}


class Refused(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


def not_found(name: str) -> Refused:
    return Refused(404, "NotFound", f'{PLURAL}.{GROUP} "{name}" not found')


class Store:
    """Flunders in etcd, over its JSON gateway; the revision is the resourceVersion."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)

    def _open(self, path: str, body: Object) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._at.hostname or "", self._at.port)
        connection.request("POST", path, json.dumps(body))
        return connection, connection.getresponse()

    def _ask(self, path: str, body: Object) -> Any:
        connection, response = self._open(path, body)
        try:
            return json.loads(response.read())
        finally:
            connection.close()

    @staticmethod
    def _under(namespace: str) -> Object:
        prefix = f"/{PLURAL}/{namespace}/" if namespace else f"/{PLURAL}/"
        return {"key": _b64(prefix), "range_end": _b64(prefix[:-1] + "0")}  # "0" comes after "/"

    def read(self, namespace: str, name: str) -> Object:
        found = self._ask("/v3/kv/range", {"key": _key(namespace, name)})
        if not found.get("kvs"):
            raise not_found(name)
        return _object(found["kvs"][0])

    def list(self, namespace: str) -> tuple[str, list[Object]]:
        found = self._ask("/v3/kv/range", self._under(namespace))
        return found["header"]["revision"], [_object(one) for one in found.get("kvs", ())]

    def write(self, value: Object, version: str) -> Object:
        """Write where the object has this version still; "0" for one that must not be there."""
        meta = value["metadata"]
        key = _key(meta["namespace"], meta["name"])
        stored = {**value, "metadata": {k: v for k, v in meta.items() if k != "resourceVersion"}}
        answer = self._ask("/v3/kv/txn", {
            "compare": [{"key": key, "target": "MOD", "mod_revision": version, "result": "EQUAL"}],
            "success": [{"request_put": {"key": key, "value": _b64(json.dumps(stored))}}],
        })  # fmt: skip
        if not answer.get("succeeded"):
            if version == "0":
                raise Refused(409, "AlreadyExists", f'{PLURAL}.{GROUP} "{meta["name"]}" already exists')
            changed = (
                "the object has been modified; please apply your changes to the latest version and try again"
            )
            text = f'Operation cannot be fulfilled on {PLURAL}.{GROUP} "{meta["name"]}": {changed}'
            raise Refused(409, "Conflict", text)
        return {**stored, "metadata": {**stored["metadata"], "resourceVersion": answer["header"]["revision"]}}

    def delete(self, namespace: str, name: str) -> None:
        if self._ask("/v3/kv/deleterange", {"key": _key(namespace, name)}).get("deleted", "0") == "0":
            raise not_found(name)

    def events(self, namespace: str, since: str) -> Iterator[Object]:
        request = {**self._under(namespace), "start_revision": str(int(since) + 1), "prev_kv": True}
        connection, response = self._open("/v3/watch", {"create_request": request})
        try:
            for line in response:
                for event in json.loads(line)["result"].get("events", ()):
                    gone = event.get("type") == "DELETE"
                    new = event["kv"].get("version") == "1"
                    seen = _object(event["prev_kv"] if gone else event["kv"])
                    yield {"type": "DELETED" if gone else "ADDED" if new else "MODIFIED", "object": seen}
        finally:
            connection.close()


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _key(namespace: str, name: str) -> str:
    return _b64(f"/{PLURAL}/{namespace}/{name}")


def _object(entry: Object) -> Object:
    value: Object = json.loads(base64.b64decode(entry["value"]))
    value["metadata"]["resourceVersion"] = entry["mod_revision"]
    return value


@dataclass
class User:
    name: str = "system:anonymous"
    groups: list[str] = field(default_factory=lambda: ["system:unauthenticated"])


class Cluster:
    """The API server that this one stands behind: it says who is who and who may do what."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)
        self._trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        data = self.ask("GET", path)["data"]
        self.front_proxy_ca: str = data["requestheader-client-ca-file"]
        self.front_proxies: list[str] = json.loads(data["requestheader-allowed-names"])
        self.user_headers: list[str] = json.loads(data["requestheader-username-headers"])
        self.group_headers: list[str] = json.loads(data["requestheader-group-headers"])

    def ask(self, method: str, path: str, body: Object | None = None) -> Any:
        host, port = self._at.hostname or "", self._at.port
        connection = http.client.HTTPSConnection(host, port, context=self._trust, timeout=10)
        headers = {
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}",
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 300:
            raise Refused(500, "InternalError", f"{method} {path}: {answer.get('message')}")
        return answer

    def user_of_token(self, token: str) -> User:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = self.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
        if not status.get("authenticated"):
            raise Refused(401, "Unauthorized", "Unauthorized")
        return User(status["user"]["username"], status["user"].get("groups", []))

    def authorize(self, user: User, attributes: Object) -> None:
        spec = {"user": user.name, "groups": user.groups, **attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        status = self.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]
        if not status.get("allowed"):
            asked = next(iter(attributes.values()))
            what = f"{asked['verb']} {asked.get('path', PLURAL)}"
            raise Refused(403, "Forbidden", f"User {json.dumps(user.name)} cannot {what}")


def documents() -> dict[str, Object]:
    """Return what this server says of itself, by path."""
    named = {"groupVersion": API, "version": VERSION}
    group = {"name": GROUP, "versions": [named], "preferredVersion": named}
    ref = {"$ref": f"#/definitions/com.example.wardle.{VERSION}.{KIND}"}
    v2_get = {"responses": {"200": {"description": "OK", "schema": ref}}}
    one = f"/apis/{API}/namespaces/{{namespace}}/{PLURAL}/{{name}}"
    kind = {"group": GROUP, "version": VERSION, "kind": KIND}
    v3_get = {"responses": {"200": {"description": "OK"}}, "x-kubernetes-group-version-kind": kind}
    schemas = {f"com.example.wardle.{VERSION}.{KIND}": _SCHEMA}
    info = {"title": "sample", "version": VERSION}
    return {
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
        f"/apis/{GROUP}": {"kind": "APIGroup", "apiVersion": "v1", **group},
        f"/apis/{API}": {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API, "resources": [_RESOURCE],
        },
        "/openapi/v2": {
            "swagger": "2.0", "info": info, "paths": {one: {"get": v2_get}}, "definitions": schemas,
        },
        "/openapi/v3": {"paths": {f"apis/{API}": {"serverRelativeURL": f"/openapi/v3/apis/{API}?hash=1"}}},
        f"/openapi/v3/apis/{API}": {
            "openapi": "3.0.0", "info": info, "paths": {one: {"get": v3_get}},
            "components": {"schemas": schemas},
        },
    }  # fmt: skip


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for key, inner in patch.items():
        if inner is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), inner)
    return found


def chosen(items: list[Object], selector: str) -> list[Object]:
    """Return the objects that have all labels of ``a=b,c=d``."""
    wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
    return [one for one in items if wanted.items() <= one["metadata"].get("labels", {}).items()]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request: who, may they, do it."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster
    store: Store
    documents = documents()

    def _user(self) -> User:
        shown = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        subject = dict(pair for part in (shown or {}).get("subject", ()) for pair in part)
        if subject.get("commonName") in self.cluster.front_proxies:
            names = (self.headers.get(name) for name in self.cluster.user_headers)
            groups = [g for name in self.cluster.group_headers for g in self.headers.get_all(name, [])]
            if not {"system:authenticated", "system:unauthenticated"} & set(groups):
                groups.append("system:authenticated")  # the aggregator reads OpenAPI as a user without groups
            return User(next((name for name in names if name), "system:anonymous"), groups)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return self.cluster.user_of_token(token) if scheme.lower() == "bearer" else User()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            if parts.path in _HEALTH:
                self._send(200, b"ok", "text/plain")
                return
            match = _OBJECTS.fullmatch(parts.path)
            if match is None:
                attributes = {"path": parts.path, "verb": self.command.lower()}
                self.cluster.authorize(self._user(), {"nonResourceAttributes": attributes})
                if parts.path not in self.documents:
                    raise Refused(404, "NotFound", "the server could not find the requested resource")
                self._answer(200, self.documents[parts.path])
                return
            self._objects(match[1] or "", match[2] or "", query, body)
        except Refused as refused:
            self._answer(refused.status["code"], refused.status)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _objects(self, namespace: str, name: str, query: dict[str, str], body: Object) -> None:
        reading = "watch" if query.get("watch") in ("1", "true") else "get" if name else "list"
        verb = {
            "GET": reading, "POST": "create", "PUT": "update", "PATCH": "patch",
            "DELETE": "delete" if name else "deletecollection",
        }[self.command]  # fmt: skip
        attributes = {
            "verb": verb, "namespace": namespace, "name": name,
            "group": GROUP, "version": VERSION, "resource": PLURAL,
        }  # fmt: skip
        self.cluster.authorize(self._user(), {"resourceAttributes": attributes})
        if verb == "watch":
            self._watch(namespace, query)
        elif verb in ("list", "deletecollection"):
            revision, items = self.store.list(namespace)
            items = chosen(items, query.get("labelSelector", ""))
            for one in items if verb == "deletecollection" else ():
                self.store.delete(one["metadata"]["namespace"], one["metadata"]["name"])
            meta = {"resourceVersion": revision}
            self._answer(200, {"kind": f"{KIND}List", "apiVersion": API, "metadata": meta, "items": items})
        elif verb == "create":
            self._answer(201, self._create(namespace, body))
        else:
            self._one(verb, namespace, name, body)

    def _create(self, namespace: str, body: Object) -> Object:
        meta = {
            **body.get("metadata", {}), "namespace": namespace, "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        if "name" not in meta:
            meta["name"] = meta.get("generateName", "") + meta["uid"][:5]
        return self.store.write({**body, "apiVersion": API, "kind": KIND, "metadata": meta}, "0")

    def _one(self, verb: str, namespace: str, name: str, body: Object) -> None:
        old = self.store.read(namespace, name)
        if verb == "delete":
            self.store.delete(namespace, name)
            self._answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
            return
        version = old["metadata"]["resourceVersion"]
        if verb == "patch":
            if self.headers.get("Content-Type") != "application/merge-patch+json":
                raise Refused(415, "UnsupportedMediaType", "only merge patches are understood")
            body = merged(old, body)
        if verb != "get":
            old = self.store.write(body, body.get("metadata", {}).get("resourceVersion") or version)
        self._answer(200, old)

    def _watch(self, namespace: str, query: dict[str, str]) -> None:
        since = query.get("resourceVersion", "0")
        revision, items = self.store.list(namespace)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if since in ("", "0"):
            since = revision
            for one in items:
                self._chunk({"type": "ADDED", "object": one})
        for event in self.store.events(namespace, since):
            if chosen([event["object"]], query.get("labelSelector", "")):
                self._chunk(event)

    def _chunk(self, event: Object) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _answer(self, code: int, value: Object) -> None:
        self._send(code, json.dumps(value).encode(), "application/json")

    def _send(self, code: int, data: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    """Shakes hands in the thread of the connection: one that says nothing holds nobody up."""

    context: ssl.SSLContext

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("etcd-servers", "tls-cert-file", "tls-private-key-file"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--secure-port", type=int, default=443)
    parser.add_argument("--cluster", default="https://kubernetes.default.svc")
    options = parser.parse_args()
    Handler.cluster, Handler.store = Cluster(options.cluster), Store(options.etcd_servers)
    Server.context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=Handler.cluster.front_proxy_ca
    )
    Server.context.verify_mode = ssl.CERT_OPTIONAL
    Server.context.load_cert_chain(options.tls_cert_file, options.tls_private_key_file)
    print(f"serving {quote(API)}", flush=True)
    Server(("", options.secure_port), Handler).serve_forever()


if __name__ == "__main__":
    main()
