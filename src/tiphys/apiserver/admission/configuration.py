"""What ``--admission-control-config-file`` says: the configuration of each admission plugin.

Owns: the ``AdmissionConfiguration``, where a plugin's part stands (within it or in a file of its own), and
the kinds and versions of those parts. Refuses: what they mean, which is each plugin's own (``configured``).

Source: the "Admission Control" page; apiserver.config.k8s.io AdmissionConfiguration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import forbidden, invalid
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.config_files import BadConfiguration

if TYPE_CHECKING:
    from tiphys.apiserver.admission.manifests.loading import Manifests
    from tiphys.apiserver.admission.manifests.source import Source

VERSION: Final = "apiserver.config.k8s.io/v1"
_KIND: Final = "AdmissionConfiguration"
_VERSIONS: Final = (VERSION, "apiserver.k8s.io/v1alpha1")
_MANIFESTS: Final = "ManifestBasedAdmissionControlConfig"
_LEGACY: Final = {"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"}
"""A file may also be the configuration of one of these alone, known by its first field."""


@runtime_checkable
class Configurable(Protocol):
    """A plugin that a file can configure."""

    @classmethod
    def configured(cls, document: Object | None) -> Any:
        """Return a plugin; ``document`` is None where nothing is said of it. Raises BadConfiguration."""
        ...


class Parts(Mapping[str, Object]):
    """What a file says, by the names of plugins. Files of their own are read when somebody asks for them."""

    def __init__(self, found: Mapping[str, Object | Path]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> Object:
        """Raises BadConfiguration: there is a file, which cannot be read."""
        found = self._found[name]
        if isinstance(found, Path):
            return _load(found, f"couldn't open admission plugin {name} configuration")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def read(path: Path | None) -> Mapping[str, Object]:
    """Return what a file says, by the names of plugins. Raises BadConfiguration."""
    if path is None:
        return {}
    document = _load(path, "unable to read admission control configuration from")
    version = document.get("apiVersion")
    if document.get("kind") != _KIND or version not in _VERSIONS:
        legacy = {_LEGACY[key]: document for key in _LEGACY if key in document}
        if not document.get("kind") and legacy:
            return legacy
        raise _bad(_unregistered(document))
    first: dict[str, Object | Path | None] = {}
    """Of a name that comes twice the first entry counts, even if it says nothing."""
    for number, entry in enumerate(document.get("plugins") or ()):
        if not isinstance(entry, dict) or not isinstance(entry.get("name", ""), str):
            raise _bad(f"plugins[{number}] is no plugin")
        said = entry.get("configuration")
        if said is None and entry.get("path"):
            said = path.parent / entry["path"]
        first.setdefault(entry.get("name", ""), said)
    return Parts({name: said for name, said in first.items() if isinstance(said, dict | Path)})


def of_kind(document: Object | None, kind: str, *versions: str) -> Object:
    """Return a plugin's part once its kind and version are known, an empty one for None.

    Raises:
        BadConfiguration: it is of another kind or version.
    """
    if document is None:
        return {}
    if document.get("kind") != kind or document.get("apiVersion") not in versions:
        raise BadConfiguration(_unregistered(document), _KIND)
    return document


def manifests(
    plugin: str, document: Object, kinds: Sequence[str], take: Callable[[Manifests], None]
) -> Source | None:
    """Return the source of the manifests that a plugin's part names, None where it names none.

    ``take`` is given what they are, now and later on. Raises BadConfiguration.
    """
    folder = document.get("staticManifestsDir")
    if not folder:
        return None
    _check_folder(folder)
    from tiphys.apiserver.admission.manifests.source import Source

    return Source(plugin, folder, kinds, take)


def _check_folder(folder: str) -> None:
    """Raises BadConfiguration: it is no folder, or none may be named."""
    path, fault = "staticManifestsDir", None
    if not on(_MANIFESTS):
        fault = forbidden(path, f"{path} requires the {_MANIFESTS} feature gate to be enabled")
    elif not Path(folder).is_absolute():
        fault = invalid(path, folder, "must be an absolute file path")
    elif unreadable := _stat_fault(folder):
        fault = invalid(path, folder, f"unable to read: {unreadable}")
    elif not Path(folder).is_dir():
        fault = invalid(path, folder, "must be a directory")
    if fault is not None:
        raise BadConfiguration(str(fault), _KIND)


def _stat_fault(path: str) -> str:
    """Say in Go's words why a path cannot be looked at."""
    try:
        Path(path).stat()
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        return f"stat {path}: {text}"
    return ""


def _unregistered(document: Object) -> str:
    kind, version = document.get("kind") or "", document.get("apiVersion") or ""
    return f'no kind "{kind}" is registered for version "{version}"'


def _load(path: Path, unreadable: str) -> Object:
    try:
        document, _ = go_yaml.load(path.read_text())
    except (OSError, ValueError) as error:
        raise _bad(f'{unreadable} "{path}" [{error}]') from error
    if not isinstance(document, dict):
        raise _bad(f"{unreadable} \"{path}\" [Object 'Kind' is missing]")
    return document


def _bad(text: str) -> BadConfiguration:
    return BadConfiguration(f"failed to read plugin config: {text}", _KIND)
