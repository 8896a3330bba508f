"""Keys and certificates in the form that clients of every language read."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from tiphys.wire import pki

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_keys_say_of_which_kind_they_are():
    """Some clients take a key that does not for RSA."""
    made = pki.make_ca("authority", NOW)
    for key in (made.key, pki.make_signing_key()):
        assert key.startswith(b"-----BEGIN EC PRIVATE KEY-----\n")
        load_pem_private_key(key, None)
    own = load_pem_private_key(made.key, None).public_key()
    assert load_pem_x509_certificate(made.certificate).public_key() == own
