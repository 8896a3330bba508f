"""One cluster for all integration tests, in a thread of its own, reached over HTTPS like any cluster."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.every_kind import ALL_SERVED, every_kind

from tiphys.testing import Cluster

sys.path.insert(0, str(Path(__file__).parent))
JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Api:
    """Plain HTTPS requests to the cluster, on one connection."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubeconfig = str(cluster.kubeconfig)
        self.url = cluster.url
        self.token = cluster.token
        self._connection = self.connect()

    def connect(self, certificate: tuple[str, str] | None = None) -> http.client.HTTPSConnection:
        folder = self.cluster.folder
        context = ssl.create_default_context(cafile=str(folder) + "/ca.crt" if folder else None)
        if certificate:
            context.load_cert_chain(*certificate)
        parts = urlsplit(self.url)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token != "":
            sent["Authorization"] = f"Bearer {token or self.token}"
        if data is not None:
            sent["Content-Type"] = content_type
        try:
            response = self._ask(method, path, data, sent)
        except (ConnectionError, ssl.SSLEOFError):  # idle for so long that the server closed it
            response = self._ask(method, path, data, sent)
        raw = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, raw)

    def _ask(self, method: str, path: str, data: bytes | None, headers: Any) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, data, headers)
            return self._connection.getresponse()
        except Exception:
            self._connection.close()  # the next request gets a new one
            raise

    def close(self) -> None:
        self._connection.close()


class _Running:
    """The cluster in its thread. ``ready`` is set once it serves, or has failed with ``error``."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.cluster: Cluster | None = None
        self.error: BaseException | None = None
        self._end: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="cluster")
        self._thread.start()

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: loop.call_soon_threadsafe(stop.set)
        async with Cluster(nodes=3, listen=True, options=ALL_SERVED) as self.cluster:
            self.ready.set()
            await stop.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self.ready.set()

    def end(self) -> None:
        self._end()
        self._thread.join()
        if self.error is not None:
            raise RuntimeError("the cluster failed") from self.error


@pytest.fixture(scope="package")
def api() -> Iterator[Api]:
    """The cluster; three simulated nodes, every controller. It ends with these tests: others follow.

    However long it takes on a machine that does much else: what hangs is found by the limit of each test.
    """
    running = _Running()
    running.ready.wait()
    if running.error is not None or running.cluster is None:
        raise RuntimeError("the cluster did not start") from running.error
    client = Api(running.cluster)
    yield client
    client.close()
    running.end()


@pytest.fixture
def namespace(api: Api, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with its ServiceAccount; deletion begins when the test ends."""
    made = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "it-"}})
    name = str(made.json["metadata"]["name"])
    account = {"metadata": {"name": "default"}}
    api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def manifests() -> Callable[[str], list[dict[str, Any]]]:
    """A small object of every kind, for the given namespace."""
    return every_kind
