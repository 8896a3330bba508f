"""Reads the PEM blocks of requests, certificates and trust bundles, and says what is wrong with them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tiphys.apimachinery.dataclass import dataclass

_BEGIN = re.compile(r"-----BEGIN (.*)-----")
_END = "-----END "
_MALFORMED = "asn1: syntax error: data truncated"
NO_PEM = "unable to parse bytes as PEM block"


class MalformedPem(ValueError):
    """Says what is wrong."""


@dataclass(frozen=True, slots=True)
class Block:
    type: str
    headers: bool
    data: bytes


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a text; what is between them or not well formed is of no interest."""
    lines = [line.rstrip(" \t\r") for line in text.split("\n")]
    at = 0
    while at < len(lines):
        begin = _BEGIN.fullmatch(lines[at])
        at += 1
        if begin is None:
            continue
        first = at
        while first < len(lines) and ":" in lines[first]:
            first += 1
        end = next((index for index in range(first, len(lines)) if lines[index].startswith(_END)), None)
        if end is None:
            return
        data = _body(lines[first:end])
        if data is not None and lines[end] == f"{_END}{begin[1]}-----":
            yield Block(begin[1], first > at, data)
            at = end + 1


def _body(lines: list[str]) -> bytes | None:
    try:
        return base64.b64decode("".join("".join(lines).split()), validate=True)
    except ValueError:  # no base64, or no ASCII
        return None


def check_request(text: str) -> None:
    """A certificate request, signed by its own key. Raises MalformedPem."""
    block = next(blocks(text), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        raise MalformedPem("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_der_x509_csr(block.data)
        key, valid = request.public_key(), request.is_signature_valid
    except Exception as error:
        # The library has many kinds of errors for bytes that are no request.
        raise MalformedPem(_MALFORMED) from error
    if valid:
        return
    if isinstance(key, ec.EllipticCurvePublicKey):
        raise MalformedPem("x509: ECDSA verification failure")
    if isinstance(key, ed25519.Ed25519PublicKey):
        raise MalformedPem("x509: Ed25519 verification failure")
    raise MalformedPem("crypto/rsa: verification error")


def check_chain(text: str) -> None:
    """What a signer issued: certificates and nothing else. Raises MalformedPem."""
    found = 0
    for block in blocks(text):
        if block.type != "CERTIFICATE":
            raise MalformedPem(f'only CERTIFICATE PEM blocks are allowed, found "{block.type}"')
        if block.headers:
            raise MalformedPem("no PEM block headers are permitted")
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError as error:
            raise MalformedPem("x509: malformed certificate") from error
        found += 1
    if not found:
        raise MalformedPem("must contain at least one CERTIFICATE PEM block")


def authority_fault(text: str) -> str:
    """Return why no certificate can be read from a text, whatever else is in it; empty where one can."""
    found = list(blocks(text))
    certificates = [block for block in found if block.type == "CERTIFICATE" and not block.headers]
    for block in certificates:
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError:
            continue
        return ""
    if certificates:
        return "failed to parse certificate: x509: malformed certificate"
    ended = bool(found) and text.removesuffix("\n").endswith(f"{_END}{found[-1].type}-----")
    return "no valid certificate authority data seen" if ended else NO_PEM


def bundle_faults(text: str) -> list[str]:
    """Return what is wrong with the trust anchors of a bundle, as texts."""
    faults: list[str] = []
    places: dict[bytes, list[int]] = {}
    for index, block in enumerate(blocks(text)):
        wrong = _anchor(block)
        if wrong:
            faults.append(f"entry {index} {wrong}")
        else:
            places.setdefault(block.data, []).append(index)
    if faults:
        return faults
    if not places:
        return ["at least one trust anchor must be provided"]
    return [
        f"duplicate trust anchor (indices [{' '.join(map(str, found))}])"
        for found in places.values()
        if len(found) > 1
    ]


def _anchor(block: Block) -> str:
    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.headers:
        return "has PEM block headers"
    try:
        certificate = x509.load_der_x509_certificate(block.data)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    except ValueError:
        return "does not parse as X.509"
    return "" if constraints.ca else "does not have the CA bit set"
