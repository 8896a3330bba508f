"""Names of signers: a domain, a slash and a path, as ``example.com/web``."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, required, too_long
from tiphys.apimachinery.meta import Object
from tiphys.apis.meta_validation import ANNOTATIONS_MAX_BYTES

_DOMAIN_MAX = 253
_NAME_MAX = 571
_SHORTEST_S, _LONGEST_OWN_S, _LONGEST_S = 3600, 24 * 3600, 91 * 24 * 3600


def signer_faults(name: str, path: str) -> list[FieldError]:
    """Return every fault of a signer's name; of each of its halves the first wrong part is told."""
    if not name:
        return [required(path)]
    halves = name.split("/")
    if len(halves) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, name, text)]
    domain, rest = halves
    faults = [too_long(path, _DOMAIN_MAX)] if len(domain) > _DOMAIN_MAX else []
    faults += _first_wrong(domain, path, names.is_dns1123_label)
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        faults.append(invalid(path, domain, text))
    faults += _first_wrong(rest, path, names.is_dns1123_subdomain)
    return faults + ([too_long(path, _NAME_MAX)] if len(name) > _NAME_MAX else [])


def _first_wrong(half: str, path: str, check: names.Check) -> list[FieldError]:
    for label in half.split("."):
        texts = check(label)
        if texts:
            return [invalid(path, half, f'validating label "{label}": {text}') for text in texts]
    return []


def bundle_name(name: str, signer: str) -> list[str]:
    """A bundle of a signer has the signer in its name; no other has a colon."""
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.is_dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.is_dns1123_subdomain(name.removeprefix(prefix))


def expiration_range(signer: str) -> tuple[int, int]:
    """Return the least and the most seconds that a pod's certificate by a signer may hold."""
    domain = signer.partition("/")[0]
    own = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    return _SHORTEST_S, _LONGEST_OWN_S if own else _LONGEST_S


def user_annotation_faults(annotations: Object, path: str) -> list[FieldError]:
    """Return every fault of what a user has to say to a signer: every key has a domain."""
    faults: list[FieldError] = []
    for key in annotations:
        texts = names.is_qualified_name(key.lower())
        if texts:
            faults += invalid_all(path, key, texts)
        elif "/" not in key:
            faults.append(invalid(path, key, 'must be a domain-prefixed key (such as "acme.io/foo")'))
    size = sum(len(key.encode()) + len(str(value or "").encode()) for key, value in annotations.items())
    return faults + ([too_long(path, ANNOTATIONS_MAX_BYTES)] if size > ANNOTATIONS_MAX_BYTES else [])
