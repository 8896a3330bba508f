"""What the API tells clients about files of a volume that would take each other's place.

Source: pod volumes of core/v1; of one volume each path is held against all before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tiphys.apimachinery.go_text import quoted
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

_MOST_TOLD: Final = 2000
"""Of the clashes in one volume: an answer has room for a hundred."""
_LONGEST_PATH: Final = 4096


class _File(NamedTuple):
    path: str
    source: str = ""

    def __str__(self) -> str:
        return f"{quoted(self.path)} ({self.source})" if self.source else quoted(self.path)


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
            yield from _overlaps(_files(source), _Seen(), f"volume {name} ({shown})")
        if isinstance(volume.get("projected"), dict):
            yield from _projected(list(each(volume, "projected", "sources")), name)


def _quoted(text: object) -> str:
    return quoted(str(text or ""))


def _files(source: Object, shown: str = "") -> list[_File]:
    return [_File(str(item.get("path") or ""), shown) for item in each(source, "items")]


def _projected(sources: list[Object], name: str) -> Iterator[str]:
    """A source that names no path is held, as upstream does, for the one before it."""
    seen = _Seen()
    files: list[_File] = []
    for source in sources:
        if not any(isinstance(part, dict) for part in source.values()):
            yield f"volume {name} (Projected) has no sources provided"
            continue
        found = _source(source)
        files = files if found is None else found
        yield from _overlaps(files, seen, f"volume {name} (Projected)")


def _source(source: Object) -> list[_File] | None:
    """Return the files of a source, None where it names none."""
    for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        part = peek(source, key)
        if part.get("items") is not None:
            return _files(part, kind if key == "downwardAPI" else f"{kind} {_quoted(part.get('name'))}")
    token, bundle = source.get("serviceAccountToken"), source.get("clusterTrustBundle")
    if isinstance(token, dict):
        return [_File(str(token.get("path") or ""), "ServiceAccountToken")]
    if isinstance(bundle, dict):
        of = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName")
        return [_File(str(bundle.get("path") or ""), f"ClusterTrustBundle {_quoted(of)}")]
    if isinstance(source.get("podCertificate"), dict):
        certificate = source["podCertificate"]
        return [
            _File(str(certificate[key]), f"PodCertificate {what}")
            for key, what in (
                ("credentialBundlePath", "credential bundle"), ("keyPath", "key"),
                ("certificateChainPath", "chain"),
            )
            if certificate.get(key)
        ]  # fmt: skip
    return None


def _overlaps(files: list[_File], seen: _Seen, what: str) -> Iterator[str]:
    """Yield where files clash with those ``seen`` before them, which they are added to."""
    for file in files:
        bare = _File(file.path.rstrip("/"), file.source)
        for other in seen.clashing(bare):
            if seen.told < _MOST_TOLD:
                seen.told += 1
                yield f"{what}: overlapping paths: {bare} with {other}"
        seen.add(bare)


class _Seen:
    """Files of a volume, found by their paths and by those above them: a volume may have 50,000."""

    def __init__(self) -> None:
        self.told = 0
        """Clashes."""
        self._files: list[_File] = []
        self._at: dict[str, list[int]] = {}
        """Places of files by their paths."""
        self._below: dict[str, list[int]] = {}

    def add(self, file: _File) -> None:
        place = len(self._files)
        self._files.append(file)
        self._at.setdefault(file.path, []).append(place)
        for above in _above(file.path):
            self._below.setdefault(above, []).append(place)

    def clashing(self, file: _File) -> list[_File]:
        """Return the files that are at the same path, above it or below it, in the order they came in."""
        if not file.path or self.told >= _MOST_TOLD:
            return []
        found = [*self._at.get(file.path, ()), *self._below.get(file.path, ())]
        for above in _above(file.path):
            found += self._at.get(above, ())
        return [self._files[place] for place in sorted(found)]


def _above(path: str) -> Iterator[str]:
    """Yield the paths that a path lies below; no file has one that is longer than kernels take."""
    if len(path) <= _LONGEST_PATH:
        yield from (path[:at] for at in range(1, len(path)) if path[at] == "/")
