"""What the projected volumes of ClusterTrustBundles contain. Pure.

Owns: which bundles a source selects, and their certificates as one file, each once. Source: "Certificates and
Certificate Signing Requests", "Cluster trust bundles".
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object

_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s*(.*?)-----END CERTIFICATE-----", re.DOTALL)


class NoBundle(LookupError):
    """None of the bundles is the one that is asked for."""


def trust_anchors(source: Mapping[str, Any], bundles: Sequence[Object]) -> bytes:
    """Return the file that a ``clusterTrustBundle`` source asks for; empty if it may be. Raises NoBundle."""
    name, selected = source.get("name"), list[Object]()
    if name is not None:
        selected = [one for one in bundles if one["metadata"]["name"] == name]
        fault = f'while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "{name}" not found'
    else:
        wanted, selector = source.get("signerName"), from_label_selector(source.get("labelSelector"))
        selected = [
            one
            for one in bundles
            if one["spec"].get("signerName") == wanted
            and selector.matches(one["metadata"].get("labels") or {})
        ]
        fault = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
    if not selected and not source.get("optional"):
        raise NoBundle(fault)
    found = {anchor for one in selected for anchor in _certificates(one["spec"].get("trustBundle") or "")}
    return "".join(map(ssl.DER_cert_to_PEM_cert, sorted(found))).encode()


def _certificates(text: str) -> Iterable[bytes]:
    for block in _BLOCK.findall(text):
        try:
            yield base64.b64decode("".join(block.split()), validate=True)
        except binascii.Error:
            continue  # the API takes none of these
