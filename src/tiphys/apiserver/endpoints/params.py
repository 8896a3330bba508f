"""Query parameters and option bodies, read and checked once.

Owns: dryRun, fieldManager, fieldValidation, force, DeleteOptions, list options. Source: meta/v1 *Options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, FieldError, Invalid
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.short_memory import short_memory
from tiphys.apis.meta_validation import MANAGER_MAX_BYTES, validate_manager
from tiphys.apiserver.endpoints.call import Call

META = "meta.k8s.io"
VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATIONS = ("Foreground", "Background", "Orphan")
_FALSE = ("false", "0")
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64_MAX = (1 << 63) - 1
_INT64_DIGITS = 20
_NOT_UNSAFE = ("dryRun", "propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions")
UNSAFE = "ignoreStoreReadErrorWithClusterBreakingPotential"
_UNSAFE_GATE = "AllowUnsafeMalformedObjectDeletion"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What CreateOptions, UpdateOptions and PatchOptions say."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What DeleteOptions say; None and empty mean not given."""

    grace_period_s: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    dry_run: bool = False
    ignore_read_error: bool = False
    """The object is to be deleted as it cannot be read: nothing is known of it. A gate allows that."""
    cascades: bool = False
    """``orphanDependents: false`` was said: only then is an answer given before the object is gone a 202."""
    heeds_policy: bool = True
    """Somebody waits for dependents: there is a garbage collector."""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What ListOptions say. ``timeout_s`` 0 means not given."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    timeout_s: int = 0
    bookmarks: bool = False
    send_initial_events: bool | None = None
    shard: str = ""
    """An expression that selects a part by hashes; empty where nobody honours it."""


def parse_bool(call: Call, name: str) -> bool | None:
    """Return a boolean parameter, None when it is not given; all but ``false`` and ``0`` is true."""
    if name not in call.query:
        return None
    return call.param(name).lower() not in _FALSE


def parse_int(call: Call, name: str) -> int | None:
    """Return an integer parameter, None when it is not given. Raises BadRequest."""
    if name not in call.query:
        return None
    text = call.param(name)
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    found = int(text) if len(text) <= _INT64_DIGITS else _INT64_MAX + 1
    if not -_INT64_MAX - 1 <= found <= _INT64_MAX:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return found


def _dry_run_faults(values: list[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [field_errors.not_supported("dryRun", values, ["All"])]


def write_options(call: Call, kind: str, found: Iterable[FieldError] = ()) -> WriteOptions:
    """Read the options of a write; ``kind`` names them in faults (CreateOptions ...).

    Faults ``found`` already are told before the others.

    Raises:
        Invalid: an option has a value that it cannot have.
    """
    if not call.query and not found:
        return _without_query(call.request.headers.get("user-agent", ""))
    manager, dry_run = call.param("fieldManager"), [*call.query.get("dryRun", ())]
    faults = [*found, *validate_manager(manager, "fieldManager"), *_dry_run_faults(dry_run)]
    validation = call.param("fieldValidation")
    if validation and validation not in VALIDATIONS:
        faults.append(field_errors.not_supported("fieldValidation", validation, VALIDATIONS))
    if faults:
        raise Invalid.of(META, kind, "", faults)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager or manager_of(call.request.headers),
        field_validation=validation or "Warn",
        force=parse_bool(call, "force"),
    )


@short_memory(256)
def _without_query(user_agent: str) -> WriteOptions:
    return WriteOptions(field_manager=_manager(user_agent))


def manager_of(headers: Mapping[str, str]) -> str:
    """Return the manager where no ``fieldManager`` is given: the user agent up to the slash."""
    return _manager(headers.get("user-agent", ""))


def _manager(user_agent: str) -> str:
    prefix = user_agent.split("/", 1)[0]
    shown = "".join(char for char in prefix if char.isprintable())
    return shown.encode()[:MANAGER_MAX_BYTES].decode(errors="ignore") or "unknown"


def delete_options(call: Call, body: Mapping[str, Any] | None) -> DeleteOptions:
    """Read DeleteOptions from the body, or from the query when there is no body.

    Raises:
        Invalid: options that contradict each other or have no such value.
    """
    if body is None:
        body = {
            "gracePeriodSeconds": parse_int(call, "gracePeriodSeconds"),
            "propagationPolicy": call.param("propagationPolicy")
            if "propagationPolicy" in call.query
            else None,
            "orphanDependents": parse_bool(call, "orphanDependents"),
            "dryRun": call.query.get("dryRun"),
            UNSAFE: parse_bool(call, UNSAFE),
        }
    dry_run, faults = [*(body.get("dryRun") or ())], list[FieldError]()
    propagation, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    if orphan is not None and propagation is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        faults.append(field_errors.invalid("propagationPolicy", propagation, text))
    if propagation is not None and propagation not in PROPAGATIONS:
        faults.append(field_errors.not_supported("propagationPolicy", propagation, [*PROPAGATIONS, "nil"]))
    grace = body.get("gracePeriodSeconds")
    faults += _dry_run_faults(dry_run) + _unsafe_faults(body, dry_run)
    if faults:
        raise Invalid.of(META, "DeleteOptions", "", faults)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=1 if grace is not None and grace < 0 else grace,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        propagation=propagation or "",
        dry_run=bool(dry_run),
        cascades=orphan is False,
        heeds_policy=call.backend.options.collects_garbage,
        ignore_read_error=bool(body.get(UNSAFE)) and on(_UNSAFE_GATE),
    )


def _unsafe_faults(body: Mapping[str, Any], dry_run: list[str]) -> list[FieldError]:
    """Say what an unsafe deletion cannot be asked for with. While it is off it is not heeded."""
    if not body.get(UNSAFE) or not on(_UNSAFE_GATE):
        return []
    given = {**body, "dryRun": dry_run or None}
    return [
        field_errors.invalid(UNSAFE, True, f"cannot be set together with .{name}")
        for name in _NOT_UNSAFE
        if given.get(name) is not None
    ]


def list_options(call: Call) -> ListOptions:
    """Read the options of a list or watch.

    Raises:
        BadRequest: a number is none. Invalid: options that cannot go together.
    """
    if not call.query:
        return ListOptions()
    options = ListOptions(
        label_selector=call.param("labelSelector"),
        field_selector=call.param("fieldSelector"),
        limit=max(parse_int(call, "limit") or 0, 0),
        continue_token=call.param("continue"),
        resource_version=call.param("resourceVersion"),
        resource_version_match=call.param("resourceVersionMatch"),
        timeout_s=parse_int(call, "timeoutSeconds") or 0,
        bookmarks=parse_bool(call, "allowWatchBookmarks") or False,
        send_initial_events=parse_bool(call, "sendInitialEvents"),
        shard=call.param("shardSelector") if _shards(call) else "",
    )
    watching = call.info.verb == "watch"
    may_begin = not watching or _may_begin_with_what_exists(call)
    faults = _watch_faults(options, may_begin=may_begin) if watching else _list_faults(options)
    if faults:
        raise Invalid.of(META, "ListOptions", "", faults)
    return options


def _shards(call: Call) -> bool:
    return bool(call.backend.options.feature_gates.enabled("ShardedListAndWatch"))


def _may_begin_with_what_exists(call: Call) -> bool:
    return bool(call.backend.options.feature_gates.enabled("WatchList"))


def _list_faults(options: ListOptions) -> list[FieldError]:
    faults = _match_faults(options) if options.resource_version_match else []
    if options.send_initial_events is not None:
        faults.append(field_errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return faults


def _watch_faults(options: ListOptions, *, may_begin: bool) -> list[FieldError]:
    path, match = "resourceVersionMatch", options.resource_version_match
    asked, faults = options.send_initial_events is not None, list[FieldError]()
    if asked and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        faults.append(field_errors.forbidden(path, text))
    if asked and not may_begin:
        text = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        faults.append(field_errors.forbidden("sendInitialEvents", text))
    if match and not asked:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        faults.append(field_errors.forbidden(path, text))
    if match not in ("", "NotOlderThan"):
        faults.append(field_errors.not_supported(path, match, ["NotOlderThan"]))
    if match and options.continue_token:
        text = "resourceVersionMatch is forbidden when continue is provided"
        faults.append(field_errors.forbidden(path, text))
    return faults


def _match_faults(options: ListOptions) -> list[FieldError]:
    path, match = "resourceVersionMatch", options.resource_version_match
    faults: list[FieldError] = []
    if not options.resource_version:
        faults.append(
            field_errors.forbidden(
                path, "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        )
    if options.continue_token:
        faults.append(
            field_errors.forbidden(path, "resourceVersionMatch is forbidden when continue is provided")
        )
    if match not in ("Exact", "NotOlderThan"):
        faults.append(field_errors.not_supported(path, match, ["Exact", "NotOlderThan", ""]))
    elif match == "Exact" and options.resource_version == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        faults.append(field_errors.forbidden(path, text))
    return faults
