"""What a new object comes to, kept for those whose requests differ from its own in what is each one's own.

Clusters make pods of one template by the dozen, and ConfigMaps of one shape. All that happens to one between
its request and the store (decoding, defaults, admission, validation, who owns which field) follows from what
it has in common with the others (``likeness``), from the namespace, and from the objects that admission looks
up. So the second of them leaves a mold, and the next ones are cast in it, with a name, uid, time and manager
of their own.

Owns: when a mold may be made, and whether it still holds. Refuses: the steps themselves. ``handlers.create``
casts and fills; admission plugins that say ``REPEATS`` read by ``Attributes.find``, so that it is known what.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import orjson

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.memo import Memo
from tiphys.apimachinery.meta import Object, generate_name, new_uid
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.reads import Reads
from tiphys.apiserver.authn.user import NODES
from tiphys.apiserver.cache.form import LEADING, ordered
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import WriteOptions
from tiphys.apiserver.registry.objects import ObjectStore
from tiphys.apiserver.shortcuts.likeness import KINDS, Likeness

_BUDGET_BYTES: Final = 4 << 20
_WEIGHT: Final = 10
"""A mold weighs about so many times what the body of its request does."""
_LARGEST_BYTES: Final = 1 << 15
_SEEN_MAX: Final = 4096


class Mold:
    """An object as it was stored, and what that depended on. All that are cast in it share its parts."""

    __slots__ = ("_encoded_fields", "_encoded_rest", "_head", "_model", "_rest", "reads")

    def __init__(self, obj: Object, reads: Reads) -> None:
        self._model = ordered(obj)
        self.reads = reads
        self._rest = {key: value for key, value in self._model.items() if key not in LEADING}
        self._encoded_rest = without_markup(orjson.dumps(self._rest))[1:]
        self._encoded_fields = orjson.Fragment(orjson.dumps(obj["metadata"]["managedFields"][0]["fieldsV1"]))
        named = orjson.dumps({"kind": obj["kind"], "apiVersion": obj["apiVersion"]})
        self._head = b'%b,"metadata":' % named[:-1]

    def cast(self, name: str, own: Object, manager: str, now: datetime) -> tuple[Object, bytes]:
        """Return another object, with ``own`` in it, and its encoding; both as ``cache.form`` makes them.

        Without a name it gets one as ``generateName`` says.
        """
        model, time = self._model["metadata"], rfc3339(now)
        own = {key: dict(sorted(texts.items())) for key, texts in own.items()}
        meta = {**model, "name": name or generate_name(model["generateName"]), "uid": new_uid()}
        meta["creationTimestamp"] = time
        owner = {**model["managedFields"][0], "manager": manager, "time": time}
        # Most of a pod's bytes are its spec and the names of its fields, which are the same in all.
        meta["managedFields"] = [{**owner, "fieldsV1": self._encoded_fields}]
        rest = without_markup(orjson.dumps({**self._rest, **own}))[1:] if own else self._encoded_rest
        value = b"%b%b,%b" % (self._head, without_markup(orjson.dumps(meta)), rest)
        meta["managedFields"] = [owner]
        return {**self._model, "metadata": meta, **own}, value


class Casting:
    """A creation that a mold answers, or that may leave one."""

    __slots__ = ("_before", "generated", "key", "likeness", "mold", "reads")

    def __init__(self, likeness: Likeness, before: bytes) -> None:
        """``before``: what the outcome depends on besides the body."""
        self.likeness = likeness
        self._before = before
        self.key = before + likeness.key
        self.mold: Mold | None = None
        self.generated = False
        """The mold is of objects whose names are generated."""
        self.reads = Reads()

    @property
    def key_generated(self) -> bytes:
        return self._before + self.likeness.key_generated

    @property
    def name(self) -> str:
        return "" if self.generated else self.likeness.name


class Molds:
    """The molds of one server."""

    def __init__(self, store: ObjectStore, admission: AdmissionChain) -> None:
        self._store = store
        self._admission = admission
        self._molds: Memo[Mold] = Memo(_BUDGET_BYTES)
        self._seen: set[int] = set()
        """Hashes of keys that came once: most objects that are like no other are to leave nothing."""

    def casting(self, call: Call, options: WriteOptions) -> Casting | None:
        """Look at a creation; None where molds have nothing to do with it.

        What nodes create is judged by the name, too.
        """
        resource, body = call.resource, call.request.body
        kind = KINDS.get((resource.group, resource.plural))
        if (
            kind is None
            # Where it cannot be told at once what there is, nobody knows whether a mold still holds.
            or not self._store.alone
            or options.dry_run
            or len(body) > _LARGEST_BYTES
            or NODES in call.user.groups
            # What is noted for audits is noted on the long way.
            or "audit_annotations" in call.request.scope
        ):
            return None
        likeness = kind.look(body)
        if likeness is None:
            return None
        media_type = call.request.headers.get("content-type", "")
        before = f"{resource.plural}\n{call.namespace}\n{options.field_validation}\n{media_type}\n".encode()
        casting = Casting(likeness, before)
        mold = self._molds.get(casting.key)
        if mold is None:
            mold = self._molds.get(casting.key_generated)
            if mold is None:
                return casting if self._came_before(hash(casting.key)) else None
            casting.generated = True
        if mold.reads.unchanged(self._store) and self._admission.repeats(kind.creation):
            casting.mold = mold
        return casting

    def _came_before(self, key: int) -> bool:
        if key in self._seen:
            return True
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen.add(key)
        return False

    def fill(self, casting: Casting, call: Call, obj: Object, *, generated: bool) -> None:
        """Keep what an object came to, now that it is stored and nobody changes it any more."""
        told = call.warnings or "audit_annotations" in call.request.scope
        if told or not casting.reads.complete or len(obj["metadata"].get("managedFields") or ()) != 1:
            return
        if generated or casting.likeness.came_to(obj):
            key = casting.key_generated if generated else casting.key
            self._molds.put(key, Mold(obj, casting.reads), _WEIGHT * len(call.request.body) - len(key))
