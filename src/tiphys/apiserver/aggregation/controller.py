"""Aggregation of one server: keeps APIService objects true and answers for remote APIs.

Owns: which group versions are remote, their availability, the local APIServices that mirror the resource
table, the published front-proxy configuration. Called by the server's start (``prime``), its background tasks
(``feeds``, ``run``) and its chain (``answer``).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import AlreadyExists, Conflict, InternalError, NotFound, StatusError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import GVK, Object, copy_object, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apis.openapi.convert import converted
from tiphys.apis.openapi.merge import RemoteSpec
from tiphys.apis.openapi.pages import server_pages
from tiphys.apiserver.aggregation import availability, discovery, objects, proxying
from tiphys.apiserver.aggregation.downloads import Downloads, Published
from tiphys.apiserver.aggregation.front_proxy import CONFIG_MAP, NAMESPACE, FrontProxy
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached
from tiphys.client.metrics import KeyWork
from tiphys.storage.base import StoreError
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import KeyPair, load_pair

log = logging.getLogger(__name__)


class LocalApi(Protocol):
    """An API of its own in this process, beside the resource table."""

    @property
    def spec(self) -> Object:
        """The spec of its APIService."""
        ...

    @property
    def resources(self) -> list[Object]: ...

    def openapi(self) -> RemoteSpec:
        """Describe it, as the API servers of others describe theirs."""
        ...

    async def handle(self, request: Request) -> Response: ...


_OWN_DOCUMENTS = frozenset({"api/v1", *(page.document for page in server_pages())})
"""Of OpenAPI v3, beside those of the groups in the table."""
_NOT_TOLD = "extension servers were not told whom to believe error=%s"
_TICK_S = 1.0
"""How often remote APIs are looked at, and until what failed is tried again."""
_RECHECK_S = 30.0
"""Between two checks of a remote API that answered; one that did not is tried at every tick."""


class Aggregation:
    """APIServices of one server."""

    def __init__(self, backend: Backend, local: Sequence[LocalApi] = ()) -> None:
        self._backend = backend
        self._local = {(api.spec["group"], api.spec["version"]): api for api in local}
        row = backend.table.by_kind(GVK("apiregistration.k8s.io", "v1", "APIService"))
        assert row is not None
        self._row: Resource = row
        self._known: dict[str, Object] = {}
        self._remote: dict[tuple[str, str], Object] = {}
        self._downloads = Downloads(backend.clock.monotonic)
        self._published: dict[str, Published] = {}
        self._discovered: set[str] = set()
        """Remote APIServices whose discovery was read the last time it was asked for."""
        self._made: dict[str, tuple[Object, Object]] = {}
        """OpenAPI v2 documents, and what was made of them, by APIService."""
        self._specs: tuple[RemoteSpec, ...] = ()
        self._specs_stale = True
        self._due: dict[str, float] = {}
        self._registering, self._checking, self._checking_local = (
            KeyWork(name, backend.clock)
            for name in ("autoregister", "RemoteAvailabilityController", "LocalAvailabilityController")
        )
        self._synced = -1
        self._at_start: frozenset[str] | None = None
        self._unchecked: set[str] = set()
        """Local APIServices that were written since their condition was looked at."""
        self._documents = discovery.Documents(backend.table, self._remotes, self._list_specs)
        self._done: set[str] = set()
        """APIServices that were in order since the start, or gone as they should be."""
        self.changes = 0
        """Of APIServices."""
        self._changed = asyncio.Event()
        backend.table.on_change = self._changed.set
        self._proxy: FrontProxy | None = None
        self._pair: KeyPair | None = None

    @property
    def front_proxy(self) -> FrontProxy:
        """This server's identity towards extension servers, made when first needed."""
        if self._proxy is None:
            self._pair = self._read_pair()
            self._proxy = FrontProxy(
                self._backend.clock.now(), self._pair, self._backend.options.request_header
            )
        return self._proxy

    def _read_pair(self) -> KeyPair | None:
        """Return the certificate and key that were given, None without. Raises OSError."""
        options = self._backend.options
        certificate, key = options.proxy_client_certificate, options.proxy_client_key
        return KeyPair.read(certificate, key) if certificate is not None and key is not None else None

    def reload(self) -> None:
        """Take over a certificate that was written anew; while it cannot be read the one there is goes on."""
        if self._proxy is None:
            return
        try:
            pair = self._read_pair()
            if pair is not None and pair != self._pair:
                load_pair(ssl.create_default_context(), pair)  # both files may not be written yet
        except OSError as error:
            log.warning("proxy client certificate not taken over error=%s", error)
            return
        if pair != self._pair:
            log.info("proxy client certificate has changed")
            self._proxy = None

    async def trust(self) -> None:
        """Tell extension servers of authorities that have changed."""
        self.front_proxy.header = self._backend.options.request_header
        await self._publish()

    def show(self, peers: discovery.PeerGroups) -> Callable[[], None]:
        """Let discovery show what other servers serve; return what to call when that is something else."""
        self._documents.peers = peers
        return self._documents.forget

    def collect(self) -> Iterator[Metric]:
        """Yield which APIs are away, and how often discovery was asked for."""
        return self._documents.counts.collect(self._known.values())

    def feeds(self) -> list[Feed]:
        """Return what must be followed while the server runs."""
        return [Feed(self._backend.store, self._row, self._observe)]

    def _observe(self, old: Cached | None, new: Cached | None) -> None:
        self.changes += 1
        name = (new or old).name  # type: ignore[union-attr]
        before = self._known.pop(name, None)
        if before is not None:
            self._remote.pop(_key(before), None)
        if new is not None:
            self._known[name] = new.object
            self._unchecked.add(name)
            if objects.is_remote(new.object):
                self._remote[_key(new.object)] = new.object
            if before is None or before.get("spec") != new.object.get("spec"):
                self._due.pop(name, None)
                self._synced = -1 if before is not None else self._synced
        else:
            self._published.pop(name, None)
            self._made.pop(name, None)
            self._due.pop(name, None)
            self._synced = -1
        if new is None or not objects.is_remote(new.object):
            self._discovered.discard(name)
        self._downloads.keep(self._remote.values())
        self._specs_stale = True
        self._documents.forget()
        self._changed.set()

    async def prime(self) -> None:
        """Write the local APIServices and the front-proxy configuration.

        Where what is stored of the latter cannot be read, the server serves all the same.
        """
        await self._sync_local()
        try:
            await self._publish()
        except InternalError as error:
            log.warning(_NOT_TOLD, error)

    async def run(self) -> None:
        """Follow the resource table, the APIServices and the health of remote APIs for ever.

        Without remote APIs nothing is looked at that has not changed.
        """
        failed = False
        while True:
            try:
                async with asyncio.timeout(_TICK_S if failed or self._remote else None):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self._sync_local()
                await self._check_local()
                await self._check_remote()
                failed = False
            except Exception:
                # The server's indexes live in the same group of tasks: no remote API may end them.
                log.exception("aggregation will be tried again")
                failed = True

    async def answer(self, request: Request, user: User) -> Response | None:
        """Return the answer to a request that aggregation concerns, None for all others."""
        if not request.path.startswith(("/api", "/openapi/v3/")):
            return None
        parts = request.path[1:].rstrip("/").split("/")  # as rights were asked for: an empty part is one, too
        if "" in parts[:3]:
            return None
        if parts[:2] == ["openapi", "v3"]:
            service = self._publisher("/".join(parts[2:]))
            return None if service is None else await self._pass(service, request, user)
        if len(parts) > 1 and parts[0] == "api":
            service = self._remote.get(("", parts[1]))
            return None if service is None else await self._pass(service, request, user)
        if not parts or parts[0] != "apis":
            return None
        if len(parts) <= 2:
            if request.method not in ("GET", "HEAD"):
                return None
            return self._documents.answer(request, parts[1:])
        key = (parts[1], parts[2])
        service = self._remote.get(key)
        if service is not None:
            return await self._pass(service, request, user)
        local = self._local.get(key)
        return None if local is None else await local.handle(request)

    def _publisher(self, document: str) -> Object | None:
        """Return the APIService whose server answers for an OpenAPI v3 document, None: this one does."""
        root, group, version = [*document.split("/"), "", ""][:3]
        service = self._remote.get((group, version)) if root == "apis" else None
        if service is not None:
            return None if service["metadata"]["name"] in self._made else service
        versions = self._backend.table.versions(group) if root == "apis" and group else ()
        if version in versions or (versions and not version) or document in _OWN_DOCUMENTS:
            return None
        found = (name for name in sorted(self._published) if document in self._published[name].others_v3)
        return self._known.get(next(found, ""))

    def answers(self, group: str, version: str) -> bool:
        """Tell whether requests for a group version are answered here."""
        return (group, version) in self._remote or (group, version) in self._local

    def openapi(self) -> tuple[RemoteSpec, ...]:
        """Return what APIs beside the table publish: the same tuple until something of it changes."""
        if self._specs_stale:
            self._specs_stale = False
            self._publish_specs()
        return self._specs

    def _publish_specs(self) -> None:
        specs = [api.openapi() for key, api in self._local.items() if key not in self._remote]
        published = [self._known[name] for name in self._published if name in self._known]
        for service in objects.by_priority(filter(objects.is_remote, published)):
            name = service["metadata"]["name"]
            found = self._published[name]
            own = self._converted(name, found)
            path, v2, v3 = objects.path_of(service), found.openapi_v2 or {}, found.openapi_v3
            specs.append(RemoteSpec(path, v2, v3, own, found.others_v3))
        if tuple(specs) != self._specs:
            self._specs = tuple(specs)

    def _converted(self, name: str, found: Published) -> Object | None:
        """Return the v3 document of a server that publishes v2 alone."""
        v2 = found.openapi_v2
        if found.openapi_v3 or v2 is None:
            self._made.pop(name, None)
            return None
        known = self._made.get(name)
        if known is None or known[0] != v2:
            known = self._made[name] = v2, converted(v2)
        return known[1]

    async def _pass(self, service: Object, request: Request, user: User) -> Response:
        return await proxying.pass_through(self._backend, service, self.front_proxy, request, user)

    def _list_specs(self) -> list[Object]:
        return [service["spec"] for service in self._known.values()]

    def _remotes(self) -> list[discovery.Remote]:
        """Return what discovery shows beside the table: remote APIs, and local ones that none replaced."""
        return [
            discovery.Remote(api.spec, api.resources, fresh=True)
            for key, api in self._local.items()
            if key not in self._remote
        ] + [self._remote_of(service) for service in self._remote.values()]

    def _remote_of(self, service: Object) -> discovery.Remote:
        name = service["metadata"]["name"]
        if name not in self._discovered or not objects.is_available(service):
            return discovery.Remote(service["spec"], [], fresh=False)
        found = self._published[name]
        return discovery.Remote(service["spec"], found.resources, fresh=found.fresh, entry=found.entry)

    async def _sync_local(self) -> None:
        """Bring local APIServices in line with the table, where either changed since the last time."""
        table = self._backend.table
        if self._synced == table.revision:
            return
        self._synced = table.revision  # what changes from here on makes it go over them again
        wanted = {service["metadata"]["name"]: service for service in objects.local_services(table)}
        for api in self._local.values():
            made = objects.in_process_service(api.spec)
            wanted[made["metadata"]["name"]] = made
        if self._at_start is None:
            self._at_start = frozenset(self._known)
        steps = (self._step(name, wanted.get(name)) for name in sorted({*wanted, *self._known}))
        try:
            await asyncio.gather(*steps)
        except BaseException:
            self._synced = -1
            self._registering.again()
            raise

    async def _step(self, name: str, wanted: Object | None) -> None:
        """Bring one APIService in line with what this server serves itself."""
        current, done = self._known.get(name), name in self._done
        if current is not None and objects.is_remote(current) and _key(current) in self._local:
            return  # an extension server took over what this one answers without any
        step = objects.next_step(current, wanted, at_start=name in (self._at_start or ()), done=done)
        with self._registering.working(name):
            await self._take_step(step, name, wanted, current)
        self._done.add(name)

    async def _take_step(self, step: str, name: str, wanted: Object | None, current: Object | None) -> None:
        if step == "create" and wanted is not None:
            await self._create(wanted)
        elif step == "update" and current is not None and wanted is not None:
            await self._write({**copy_object(current), "spec": wanted["spec"]}, current)
        elif step == "delete":
            await self._delete(name)

    async def _write(self, changed: Object, current: Object) -> None:
        changed["metadata"].pop("resourceVersion", None)
        try:
            await self._backend.store.update(self._row, changed, int(current["metadata"]["resourceVersion"]))
        except (NotFound, Conflict):
            return

    async def _create(self, service: Object) -> None:
        strategy = machinery.strategy_for(self._row)
        strategy.default(service)
        strategy.prepare_create(service)
        now = rfc3339(self._backend.clock.now())
        service["metadata"] |= {"uid": new_uid(), "creationTimestamp": now}
        for condition in service["status"].get("conditions") or ():
            condition["lastTransitionTime"] = now
        try:
            await self._backend.store.create(self._row, service)
        except AlreadyExists:
            return

    async def _delete(self, name: str) -> None:
        store = self._backend.store
        try:
            cached = await store.get(self._row, "", name)
            await store.delete(self._row, "", name, cached.revision)
        except (NotFound, Conflict):
            return

    async def _check_remote(self) -> None:
        now = self._backend.clock.monotonic()
        due = [
            service
            for service in self._remote.values()
            if not objects.is_available(service) or self._due.get(service["metadata"]["name"], now) <= now
        ]
        async with asyncio.TaskGroup() as group:
            for service in due:
                group.create_task(self._check(service))

    async def _check(self, service: Object) -> None:
        name, began = service["metadata"]["name"], self._backend.clock.monotonic()
        with self._checking.working(name):
            found = await availability.check(self._backend, service, self.front_proxy)
        if not found.ok:
            self._checking.again()
        if found.ok and found.endpoint is not None:
            published = await self._downloads.update(
                service, found.endpoint, self.front_proxy, found.body, since=began
            )
            if name in self._known:
                self._take(name, published)
        elif name in self._discovered:
            self._discovered.discard(name)
            self._documents.forget()
        if name not in self._known:  # it went meanwhile
            self._downloads.keep(self._remote.values())
            return
        self._due[name] = self._backend.clock.monotonic() + _RECHECK_S
        changed = objects.with_condition(
            service, ok=found.ok, reason=found.reason, message=found.message,
            now=rfc3339(self._backend.clock.now()),
        )  # fmt: skip
        if changed is not None:
            self._documents.counts.changed(service, changed)
            await self._write(changed, service)

    def _take(self, name: str, published: Published) -> None:
        """Show what is published now."""
        if name in self._discovered and self._published.get(name) == published:
            return
        self._published[name] = published
        self._discovered.add(name)
        self._specs_stale = True
        self._documents.forget()

    async def _check_local(self) -> None:
        """Local APIs are there, whatever their APIServices said while they were remote."""
        now = rfc3339(self._backend.clock.now())
        for name in sorted(self._unchecked):
            service = self._known.get(name)
            if service is not None and not objects.is_remote(service):
                changed = objects.with_condition(
                    service, ok=True, reason="Local", message=objects.LOCAL, now=now
                )
                with self._checking_local.working(name):
                    if changed is not None:
                        await self._write(changed, service)  # whoever was faster is heard of, and looked at
            if self._known.get(name) is service:
                self._unchecked.discard(name)

    async def keep_published(self) -> None:
        """Tell extension servers again where somebody has taken it away. Raises nothing."""
        try:
            await self._publish()
        except (StatusError, StoreError) as error:
            log.warning(_NOT_TOLD, error)

    async def _publish(self) -> None:
        """Tell extension servers, through the ConfigMap that they read, which certificate to believe."""
        backend, proxy = self._backend, self.front_proxy
        row = backend.table.by_path("", "v1", "configmaps")
        while True:
            try:
                cached = await backend.store.get(row, NAMESPACE, CONFIG_MAP)
                data = cached.object.get("data") or {}
                changed: Object = copy_object(cached.object)
                changed["data"] = data | proxy.config_data(data, backend.options.client_ca)
                if changed["data"] == data:
                    return
                changed["metadata"].pop("resourceVersion", None)
                await backend.store.update(row, changed, cached.revision)
                return
            except NotFound:
                fresh = proxy.config_map(backend.options.client_ca)
                fresh["metadata"] |= {"uid": new_uid(), "creationTimestamp": rfc3339(backend.clock.now())}
                try:
                    await backend.store.create(row, fresh)
                    return
                except AlreadyExists:
                    continue
            except Conflict:
                continue


def _key(service: Object) -> tuple[str, str]:
    spec = service.get("spec") or {}
    return spec.get("group") or "", spec.get("version") or ""
