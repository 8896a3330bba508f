"""Webhooks on loopback for the admission tests."""

from __future__ import annotations

import base64
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _load() -> Any:
    # Tests are imported by path, not as a package: this is how they share a module.
    name = "tiphys_test_webhook_server"
    if name not in sys.modules:
        path = Path(__file__).with_name("webhook_server.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def webhooks() -> Any:
    """The module that serves webhooks."""
    return _load()


@pytest.fixture
async def webhook(webhooks: Any) -> AsyncIterator[Any]:
    """A webhook at https://127.0.0.1."""
    async with webhooks.webhook_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def swept_webhook(webhooks: Any) -> AsyncIterator[Any]:
    """The same in the loop of all tests of a module, for those who use ``swept_api``."""
    async with webhooks.webhook_server() as server:
        yield server


def _csr(group: str = "dev", **spec: Any) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
            x509.NameAttribute(NameOID.COMMON_NAME, "u"),
        ]
    )
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM)
    return {
        "metadata": {"name": "r"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            **spec,
        },
    }


@pytest.fixture
def make_csr() -> Any:
    """Make a CertificateSigningRequest of a client in a group."""
    return _csr
