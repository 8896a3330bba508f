"""The files of a folder of manifests: which of them count, the documents in them, what tells a change.

Refuses: what the documents say, which is ``loading``'s.
Source: the "Manifest-Based Admission Control" page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.config_files import BadConfiguration

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_SEPARATOR: Final = re.compile(r"^---[^\S\n]*$\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and the file that it stands in."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Files:
    """What stands in a folder, by the names of its files. The hash tells whether that is the same still."""

    contents: Sequence[tuple[str, bytes]]
    hash: str

    def documents(self) -> list[Document]:
        """Return what stands in the files; what is empty is left out. Raises BadConfiguration."""
        return [
            Document(path, text)
            for path, content in self.contents
            for text in _SEPARATOR.split(_text(path, content))
            if text.strip()
        ]


def read(folder: str) -> Files:
    """Read the manifests that are in a folder, not those in folders below. Raises BadConfiguration."""
    try:
        paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in _SUFFIXES)
        paths = [path for path in paths if not path.is_dir()]
    except OSError as error:
        raise BadConfiguration(f'failed to read manifest directory "{folder}": {error}') from error
    contents: list[tuple[str, bytes]] = []
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadConfiguration(f'failed to read file "{path}": {error}') from error
        digest.update(content + b"\0")
        contents.append((str(path), content))
    return Files(contents, f"sha256:{digest.hexdigest()}")


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadConfiguration(f'failed to split YAML documents in file "{path}": {error}') from error
