"""What a new pod comes to, kept for the pods whose requests differ from its own in the name alone.

Clusters make pods of one template by the dozen. All that happens to one between its request and the store
(decoding, defaults, admission, validation, who owns which field) follows from the body, from the namespace,
and from the objects that admission looks up; nothing of it from the name. So the second pod of a template
leaves a mold, and the next ones are cast in it, with a name, uid, time and manager of their own.

Owns: when a mold may be made, and whether it still holds. Refuses: the steps themselves. ``handlers.create``
casts and fills; admission plugins that say ``REPEATS`` read by ``Attributes.find``, so that it is known what.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import orjson

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.memo import Memo
from tiphys.apimachinery.meta import Object, generate_name, new_uid
from tiphys.apiserver.admission.attributes import About
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.reads import Reads
from tiphys.apiserver.authn.user import NODES
from tiphys.apiserver.cache.entry import LEADING
from tiphys.apiserver.call import Call
from tiphys.apiserver.objects import ObjectStore
from tiphys.apiserver.params import WriteOptions

_BUDGET_BYTES: Final = 4 << 20
_WEIGHT: Final = 10
"""A mold weighs about so many times what the body of its request does."""
_LARGEST_BYTES: Final = 1 << 15
_NAME: Final = re.compile(rb'"name":\s?"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"')
"""A DNS label: as a pod's name it has no fault, and there is nothing to warn of."""
_SEEN_MAX: Final = 4096
_PROBE: Final = "some-other-name"
_NEW_POD: Final = About("", "pods", "", "CREATE")


class Mold:
    """A pod as it was stored, and what that depended on. All that are cast in it share its parts."""

    __slots__ = ("_encoded_fields", "_encoded_rest", "_pod", "reads")

    def __init__(self, pod: Object, reads: Reads) -> None:
        self._pod = pod
        self.reads = reads
        rest = {key: value for key, value in pod.items() if key not in LEADING}
        self._encoded_rest = orjson.dumps(rest)[1:]
        self._encoded_fields = orjson.Fragment(orjson.dumps(pod["metadata"]["managedFields"][0]["fieldsV1"]))

    def cast(self, name: str, manager: str, now: datetime) -> tuple[Object, bytes]:
        """Return another pod, and what ``cache.entry.encode`` makes of it.

        Without a name it gets one as ``generateName`` says.
        """
        model, time = self._pod["metadata"], rfc3339(now)
        meta = {**model, "name": name or generate_name(model["generateName"]), "uid": new_uid()}
        meta["creationTimestamp"] = time
        owner = {**model["managedFields"][0], "manager": manager, "time": time}
        # Most of a pod's bytes are its spec and the names of its fields, which are the same in all.
        meta["managedFields"] = [{**owner, "fieldsV1": self._encoded_fields}]
        value = b'{"apiVersion":"v1","kind":"Pod","metadata":%b,%b' % (orjson.dumps(meta), self._encoded_rest)
        meta["managedFields"] = [owner]
        return {**self._pod, "metadata": meta}, value


class Casting:
    """A creation that a mold answers, or that may leave one."""

    __slots__ = ("_before", "_body", "_place", "generated", "mold", "reads")

    def __init__(self, before: bytes, body: bytes, place: tuple[int, int]) -> None:
        self._before = before
        """What the outcome depends on besides the body."""
        self._body = body
        self._place = place
        """Where the first name in the body is; mostly that is the pod's own."""
        self.mold: Mold | None = None
        self.generated = False
        """The mold is of pods whose names are generated."""
        self.reads = Reads()

    @property
    def name(self) -> str:
        start, end = self._place
        return "" if self.generated else self._body[start:end].decode()

    @property
    def key(self) -> bytes:
        """What this has in common with all that have another name in that place."""
        start, end = self._place
        return b"%b%b\n%b" % (self._before, self._body[:start], self._body[end:])

    @property
    def key_generated(self) -> bytes:
        """What this has in common with all whose name is generated: everything."""
        return b"%b=%b" % (self._before, self._body)

    def is_named_there(self) -> bool:
        """Tell whether another name in that place would make just that of the body: a pod of another name."""
        start, end = self._place
        body = self._body
        try:
            own = orjson.loads(body)
            other = orjson.loads(b"%b%b%b" % (body[:start], _PROBE.encode(), body[end:]))
        except orjson.JSONDecodeError:  # protobuf or YAML
            return False
        own["metadata"]["name"] = _PROBE
        return bool(own == other)


class Molds:
    """The molds of one server."""

    def __init__(self, store: ObjectStore, admission: AdmissionChain) -> None:
        self._store = store
        self._admission = admission
        self._molds: Memo[Mold] = Memo(_BUDGET_BYTES)
        self._seen: set[int] = set()
        """Hashes of keys that came once: most pods that are like no other are to leave nothing."""

    def casting(self, call: Call, options: WriteOptions) -> Casting | None:
        """Look at a creation; None where molds have nothing to do with it.

        What nodes create is judged by the name, too.
        """
        resource, body = call.resource, call.request.body
        if (
            resource.kind != "Pod"
            or resource.group
            # Where it cannot be told at once what there is, nobody knows whether a mold still holds.
            or not self._store.alone
            or options.dry_run
            or len(body) > _LARGEST_BYTES
            or NODES in call.user.groups
            # What is noted for audits is noted on the long way.
            or "audit_annotations" in call.request.scope
        ):
            return None
        media_type = call.request.headers.get("content-type", "")
        before = f"{call.namespace}\n{options.field_validation}\n{media_type}\n".encode()
        found = _NAME.search(body)
        casting = Casting(before, body, (0, 0) if found is None else found.span(1))
        key = casting.key
        mold = self._molds.get(key)
        if mold is None:
            mold = self._molds.get(casting.key_generated)
            if mold is None:
                return casting if self._came_before(hash(key)) else None
            casting.generated = True
        if mold.reads.unchanged(self._store) and self._admission.repeats(_NEW_POD):
            casting.mold = mold
        return casting

    def _came_before(self, key: int) -> bool:
        if key in self._seen:
            return True
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen.add(key)
        return False

    def fill(self, casting: Casting, call: Call, pod: Object, *, generated: bool) -> None:
        """Keep what a pod came to, now that it is stored and nobody changes it any more."""
        told = call.warnings or "audit_annotations" in call.request.scope
        if told or not casting.reads.complete or len(pod["metadata"].get("managedFields") or ()) != 1:
            return
        if generated or casting.is_named_there():
            key = casting.key_generated if generated else casting.key
            self._molds.put(key, Mold(pod, casting.reads), (_WEIGHT - 1) * len(key))
