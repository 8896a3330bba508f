"""Reads an ``EncryptionConfiguration``: which providers serve which resources.

Pure. Owns: its grammar, its faults in upstream's words, and which rule a resource falls under. KMS plugins
are made by who reads the file (``make_kms``); version 1 of their API is off, as it is upstream.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any, Final

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration, parse_go_duration
from tiphys.apimachinery.errors import FieldError
from tiphys.apiserver import config_files
from tiphys.apiserver.config_files import Kind, fields, read_file, url_fault
from tiphys.apiserver.encryption.ciphers import AesCbc, AesGcm, Secretbox
from tiphys.apiserver.encryption.kms import Kms, KmsSettings
from tiphys.apiserver.encryption.providers import BadConfiguration, Identity, Provider, Providers

_KINDS: Final = ("kms", "aesgcm", "aescbc", "secretbox", "identity")
_CIPHERS: Final[dict[str, Callable[[str, bytes], Provider]]] = {
    "aesgcm": AesGcm, "aescbc": AesCbc, "secretbox": Secretbox,
}  # fmt: skip
_KEY_BYTES: Final = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}
_LINE_ENDS: Final = dict.fromkeys(map(ord, "\r\n"))
"""What base64 texts of several lines have between them."""
_KMS_V1: Final = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set "
    "--feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)
_TIMEOUT: Final = "3s"
_NOT_STORED: Final = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_MORE_THAN_ONE: Final = (
    "more than one provider specified in a single element, should split into different list elements"
)
_NONE_OF: Final = (
    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
)
_OVERLAP: Final = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed "
    "as they will be masked"
)


_Rule = tuple[str, tuple[Provider, ...]]
_PARSING: Final = "error while parsing file: "
_BUILDING: Final = "error while building transformers: "
_KEYS: Final = fields(keys=fields("name", "secret"))
_KIND: Final = Kind(
    "EncryptionConfiguration",
    fields(
        resources=fields(
            "resources",
            providers=fields(
                kms=fields("apiVersion", "name", "cachesize", "endpoint", "timeout"),
                aesgcm=_KEYS, aescbc=_KEYS, secretbox=_KEYS, identity=fields(),
            ),
        )
    ),
    invalid=_PARSING, versions=("apiserver.config.k8s.io/v1",), also=("EncryptionConfig", "v1"), secret=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in the order of the file: (resource, its providers)."""

    rules: tuple[_Rule, ...] = ()

    def providers_for(self, group: str, plural: str) -> Providers | None:
        """Return what seals a resource; None where nothing does. The first rule that covers it counts."""
        names = (f"{plural}.{group}" if group else plural, f"*.{group}", "*.*")
        chosen = next((resource for resource, _ in self.rules if resource in names), None)
        if chosen is None:
            return None
        # The same resource in several elements: their providers follow each other.
        return Providers(tuple(p for resource, found in self.rules if resource == chosen for p in found))


def parse(text: str, make_kms: Callable[[KmsSettings], Provider] = Kms.of, file: str = "") -> Rules:
    """Read a configuration file's text. Raises BadConfiguration."""
    if not text:
        why = f'{_PARSING}error while loading file: encryption provider configuration file "{file}" is empty'
        raise BadConfiguration(why)

    def read(document: dict[str, Any], faults: list[FieldError]) -> tuple[_Rule, ...]:
        entries = document.get("resources") or []
        faults += _faults(entries)
        return () if faults else tuple(_rules(entries, make_kms))

    unreadable = f'{_PARSING}error decoding encryption provider configuration file "{file}": '
    try:
        return Rules(read_file(text, replace(_KIND, unreadable=unreadable), read))
    except config_files.BadConfiguration as error:
        raise BadConfiguration(str(error)) from None


def _rules(entries: list[Any], make_kms: Callable[[KmsSettings], Provider]) -> list[_Rule]:
    found: list[_Rule] = []
    for entry in entries:
        providers = tuple(made for provider in entry["providers"] for made in _made(provider, make_kms))
        for resource in map(_plainly, entry["resources"]):
            _check_unmasked(resource, [earlier for earlier, _ in found])
            found.append((resource, providers))
    return found


def _check_unmasked(resource: str, earlier: list[str]) -> None:
    """Raise BadConfiguration for what an earlier rule covers already."""
    for rule in (f"*.{_split(resource)[1]}", "*.*"):
        if rule in earlier:
            raise BadConfiguration(f'{_BUILDING}resource "{resource}" is masked by earlier rule "{rule}"')


def _made(provider: dict[str, Any], make_kms: Callable[[KmsSettings], Provider]) -> list[Provider]:
    (kind,) = [name for name in _KINDS if provider.get(name) is not None]
    if kind == "identity":
        return [Identity()]
    if kind == "kms":
        told = provider["kms"]
        if told.get("apiVersion") != "v2":
            raise BadConfiguration(f"{_BUILDING}{_KMS_V1}")
        timeout_s = parse_go_duration(told.get("timeout") or _TIMEOUT)
        return [make_kms(KmsSettings(told["name"], told["endpoint"], timeout_s))]
    return [_CIPHERS[kind](key["name"], base64.b64decode(key["secret"])) for key in provider[kind]["keys"]]


def _faults(entries: list[Any]) -> list[FieldError]:
    if not entries:
        return [field_errors.required("resources", "at least one resources is required")]
    faults: list[FieldError] = []
    plugins: set[str] = set()
    for number, entry in enumerate(entries):
        path = f"resources[{number}]"
        resources, providers = entry.get("resources") or [], entry.get("providers") or []
        if not resources:
            name = f"{path}.resources"
            faults.append(field_errors.required(name, f"at least one {name} is required"))
        faults += _overlap_faults(f"{path}.resources", resources)
        for at, resource in enumerate(resources):
            faults += _name_faults(f"{path}.resources[{at}]", resource)
        if not providers:
            name = f"{path}.providers"
            faults.append(field_errors.required(name, f"at least one {name} is required"))
        for at, provider in enumerate(providers):
            faults += _provider_faults(f"{path}.providers[{at}]", provider, plugins)
    return faults


def _split(resource: str) -> tuple[str, str]:
    plural, _, group = resource.partition(".")
    return plural, group


def _plainly(resource: str) -> str:
    """Return a resource without the dot that one of no group may end with, which ``*.`` alone keeps."""
    plural, group = _split(resource)
    return resource if group or plural == "*" else plural


def _overlap_faults(path: str, resources: list[str]) -> list[FieldError]:
    pairs = [_split(resource) for resource in resources]
    twice = masked = False
    for one, other in permutations(pairs, 2):
        if one == other and not twice:
            twice = True
        elif one == ("*", "*") or (one[1] == other[1] and "*" in (one[0], other[0])):
            masked = True  # a wildcard beside what it covers
    faults = []
    if twice:
        text = "the same resource cannot be specified multiple times"
        faults.append(field_errors.invalid(path, resources, text))
    if masked:
        faults.append(field_errors.invalid(path, resources, _OVERLAP))
    return faults


def _name_faults(path: str, resource: str) -> list[FieldError]:
    plural, group = _split(resource)
    text = ""
    if resource != resource.lower():
        text = "resource name should not contain capital letters"
    elif resource == "*":
        text = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    elif resource in _NOT_STORED:
        text = "resources which do not have REST API/s cannot be encrypted"
    elif group == "events.k8s.io":
        text = (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. "
            "Use 'events' instead in the config file"
        )
    elif group == "extensions":
        text = "'extensions' group has been removed and cannot be used for encryption"
    elif group == "*" and plural != "*":
        text = "encrypting the same resource across groups is not supported"
    return [field_errors.invalid(path, resource, text)] if text else []


def _provider_faults(path: str, provider: dict[str, Any], plugins: set[str]) -> list[FieldError]:
    kinds = [name for name in _KINDS if provider.get(name) is not None]
    if not kinds:
        return [field_errors.invalid(path, "REDACTED", _NONE_OF)]
    faults = [field_errors.invalid(path, "REDACTED", _MORE_THAN_ONE)] if len(kinds) > 1 else []
    kind = kinds[0]
    if kind == "identity":
        return faults
    if kind == "kms":
        return [*faults, *_kms_faults(f"{path}.kms", provider["kms"], plugins)]
    keys = provider[kind].get("keys") or []
    if not keys:
        return [*faults, field_errors.required(f"{path}.{kind}.keys", "at least one keys is required")]
    for at, key in enumerate(keys):
        faults += _key_faults(f"{path}.{kind}.keys[{at}]", key, _KEY_BYTES[kind])
    return faults


def _kms_faults(path: str, told: dict[str, Any], plugins: set[str]) -> list[FieldError]:
    """``plugins`` are the names that came before, to which this one's is added."""
    faults = []
    name, version = str(told.get("name") or ""), str(told.get("apiVersion") or "v1")
    if not name:
        faults.append(field_errors.required(f"{path}.name", "name is a mandatory field for a provider"))
    if version != "v1" and ":" in name:
        text = f"invalid KMS provider name {name}, must not contain ':'"
        faults.append(field_errors.invalid(f"{path}.name", name, text))
    if version != "v1" and name in plugins:
        text = f"duplicate KMS provider name {name}, names must be unique"
        faults.append(field_errors.invalid(f"{path}.name", name, text))
    plugins.add(name)
    timeout_s = parse_go_duration(told.get("timeout") or _TIMEOUT)
    if timeout_s <= 0:
        text = "timeout should be a positive value"
        faults.append(field_errors.invalid(f"{path}.timeout", go_duration(timeout_s), text))
    endpoint = str(told.get("endpoint") or "")
    scheme = endpoint.partition(":")[0].lower() if ":" in endpoint else ""
    if not endpoint:
        text = "endpoint is a mandatory field for a kms"
        faults.append(field_errors.invalid(f"{path}.endpoint", "", text))
    elif fault := url_fault(endpoint):
        text = f"invalid endpoint for kms provider, error: {fault}"
        faults.append(field_errors.invalid(f"{path}.endpoint", endpoint, text))
    elif scheme != "unix":
        text = f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        faults.append(field_errors.invalid(f"{path}.endpoint", endpoint, text))
    if version != "v1" and told.get("cachesize") is not None:
        text = "cachesize is not supported in v2"
        faults.append(field_errors.invalid(f"{path}.cachesize", told["cachesize"], text))
    if version == "v1" and told.get("cachesize") == 0:
        text = "cachesize should be a positive value, or negative to disable"
        faults.append(field_errors.invalid(f"{path}.cachesize", 0, text))
    if version not in ("v1", "v2"):
        text = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        faults.append(field_errors.invalid(f"{path}.apiVersion", version, text))
    return faults


def _key_faults(path: str, key: dict[str, Any], expected: tuple[int, ...]) -> list[FieldError]:
    faults = []
    if not key.get("name"):
        faults.append(field_errors.required(f"{path}.name", "name is a mandatory field for a key"))
    if not key.get("secret"):
        return [*faults, field_errors.required(f"{path}.secret", "secret is a mandatory field for a key")]
    try:
        secret = base64.b64decode(key["secret"].translate(_LINE_ENDS), validate=True)
    except (binascii.Error, ValueError):
        return [*faults, field_errors.invalid(f"{path}.secret", "REDACTED", "secrets must be base64 encoded")]
    if len(secret) not in expected:
        lengths = " ".join(str(length) for length in expected)
        text = f"secret is not of the expected length, got {len(secret)}, expected one of [{lengths}]"
        faults.append(field_errors.invalid(f"{path}.secret", "REDACTED", text))
    return faults
