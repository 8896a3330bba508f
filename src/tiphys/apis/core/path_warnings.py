"""What the API tells clients about files of a volume that would take each other's place.

Source: pod volumes of core/v1; of one volume each path is held against all before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek


def overlapping_paths(spec: Object) -> Iterator[str]:
    """Yield what is to be said of the volumes of a pod."""
    for volume in each(spec, "volumes"):
        name = _quoted(volume.get("name"))
        for key, kind, of in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("downwardAPI", "DownwardAPI", ""),
        ):
            source = peek(volume, key)
            shown = f"{kind} {_quoted(source.get(of))}" if of else kind
            yield from _overlaps(_paths(source), f"volume {name} ({shown})")
        if isinstance(volume.get("projected"), dict):
            yield from _projected(list(each(volume, "projected", "sources")), name)


def _quoted(text: object) -> str:
    return json.dumps(str(text or ""), ensure_ascii=False)


def _paths(source: Object) -> list[str]:
    return [str(item.get("path") or "") for item in each(source, "items")]


def _projected(sources: list[Object], name: str) -> Iterator[str]:
    """A source that names no path is held, as upstream does, for the one before it."""
    seen: set[str] = set()
    paths: list[str] = []
    what = ""
    for source in sources:
        if not any(isinstance(part, dict) for part in source.values()):
            yield f"volume {name} (Projected) has no sources provided"
            continue
        found = _source(source)
        if found is not None:
            paths, what = found[0], f"volume {name} (Projected {found[1]})"
        if not paths:
            continue
        yield from _overlaps(paths, what)
        yield from _overlaps(sorted([*set(paths), *seen]), what)
        seen.update(paths)


def _source(source: Object) -> tuple[list[str], str] | None:
    """Return the paths of a source and what to call it."""
    for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        part = peek(source, key)
        if part.get("items") is not None:
            shown = kind if key == "downwardAPI" else f"{kind} {_quoted(part.get('name'))}"
            return _paths(part), shown
    token, bundle = source.get("serviceAccountToken"), source.get("clusterTrustBundle")
    if isinstance(token, dict):
        return [str(token.get("path") or "")], "ServiceAccountToken"
    if isinstance(bundle, dict):
        of = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName")
        return [str(bundle.get("path") or "")], f"ClusterTrustBundle {_quoted(of)}"
    return None


def _overlaps(paths: Iterable[str], what: str) -> Iterator[str]:
    seen: list[str] = []
    for path in paths:
        bare = path.rstrip("/")
        other = _collision(sorted(seen), bare)
        if other:
            yield f"{what}: overlapping paths: {_quoted(bare)} with {_quoted(other)}"
        seen.append(bare)


def _collision(seen: list[str], path: str) -> str:
    for other in seen:
        if not other or not path:
            return ""
        if f"{other}/".startswith(path) or f"{path}/".startswith(other):
            return other
    return ""
