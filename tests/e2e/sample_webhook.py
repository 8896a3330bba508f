"""Webhooks of a cluster's own: one server, a path for each thing it does.

It runs as a container of Python's standard library alone, behind a Service. ``sample_image`` packs it,
``test_webhooks`` runs it.
"""

from __future__ import annotations

import argparse
import base64
import http.server
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Answer = dict[str, Any]
GROUP = "stable.example.com"


def refuse(message: str, code: int = 403) -> Answer:
    return {"allowed": False, "status": {"message": message, "code": code}}


def patch(*operations: Object) -> Answer:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def nothing_bad(request: Object) -> Answer:
    """Refuse what is called bad, and maps that hold what nobody wants; never answer about the slow."""
    obj = request.get("object") or request.get("oldObject") or {}
    if "hang" in obj["metadata"].get("name", ""):
        time.sleep(60)
    if "bad" in obj["metadata"].get("name", ""):
        return refuse("the name is bad")
    if "bad" in (obj.get("data") or {}).values():
        return refuse("the data is bad")
    return {"allowed": True}


def no_deletion(request: Object) -> Answer:
    """Let objects be made and changed, and be deleted only when they agree."""
    obj = request["oldObject"]
    if (obj.get("metadata", {}).get("labels") or {}).get("free") == "yes":
        return {"allowed": True, "warnings": ["it is gone for good"]}
    return refuse("it stays")


def after(before: str, added: str) -> Callable[[Object], Answer]:
    """Return a webhook that adds a key to data that has another."""

    def change(request: Object) -> Answer:
        if before in (request["object"].get("data") or {}):
            return patch({"op": "add", "path": f"/data/{added}", "value": "yes"})
        return {"allowed": True}

    return change


def add_init_container(_request: Object) -> Answer:
    container = {"name": "added", "image": "tiphys.test/busybox:1", "command": ["true"], "resources": {}}
    return patch({"op": "add", "path": "/spec/initContainers", "value": [container]})


def slowly(_request: Object) -> Answer:
    time.sleep(5)
    return {"allowed": True}


def label(_request: Object) -> Answer:
    return patch({"op": "add", "path": "/metadata/labels", "value": {"changed": "yes"}})


REVIEWS: dict[str, Callable[[Object], Answer]] = {
    "/nothing-bad": nothing_bad,
    "/refuse": lambda _request: refuse("none of these"),
    "/no-deletion": no_deletion,
    "/first": after("start", "first"),
    "/second": after("first", "second"),
    "/init": add_init_container,
    "/slowly": slowly,
    "/label": label,
}


def convert(obj: Object, version: str) -> Object:
    """Move between ``hostPort: a:1`` (v1) and ``host: a, port: 1`` (v2). Raises ValueError."""
    made = {**obj, "apiVersion": f"{GROUP}/{version}"}
    if version == "v2" and "hostPort" in obj:
        host, port = made.pop("hostPort").split(":")
        made |= {"host": host, "port": port}
    elif version == "v1" and "host" in obj:
        made["hostPort"] = f"{made.pop('host')}:{made.pop('port')}"
    return made


def converted(request: Object) -> Answer:
    version = request["desiredAPIVersion"].rpartition("/")[2]
    try:
        objects = [convert(one, version) for one in request["objects"]]
    except ValueError as error:
        return {"uid": request["uid"], "result": {"status": "Failure", "message": str(error)}}
    return {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers reviews, conversions and probes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._say({"ok": True})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = asked["request"]
        if path == "/convert":
            response = converted(request)
        else:
            response = {**REVIEWS[path](request), "uid": request["uid"]}
        self._say({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": response})

    def _say(self, body: Object) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)


class Server(http.server.ThreadingHTTPServer):
    """Each connection makes its handshake in its own thread."""

    daemon_threads = True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls-cert-file", required=True)
    parser.add_argument("--tls-private-key-file", required=True)
    given = parser.parse_args()
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(given.tls_cert_file, given.tls_private_key_file)
    server = Server(("", 443), Handler)
    server.socket = trust.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
