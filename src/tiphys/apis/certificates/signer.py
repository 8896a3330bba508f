"""Names of signers: a domain, a slash and a path, as ``example.com/web``."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required, too_long

_DOMAIN_MAX = 253
_NAME_MAX = 571


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
