"""UIDs in client certificates are behind a gate."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apiserver.authn import x509
from tiphys.wire.client_certificates import Subject


@pytest.mark.parametrize("on", [True, False])
def test_a_uid_is_believed_while_the_gate_is_on(monkeypatch: pytest.MonkeyPatch, *, on: bool) -> None:
    subject = Subject("alice", ("dev",), ("7",), "X509SHA256=1")
    monkeypatch.setattr(x509, "subject_of", lambda _certificate: subject)
    with using(FeatureGates({"AllowParsingUserUIDFromCertAuth": on})):
        user = x509.user_of(f"certificate, {on}".encode())
    assert user is not None
    assert user.uid == ("7" if on else "")
