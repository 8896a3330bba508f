"""Flags about identity and rights become options, or a clear refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tiphys.apimachinery.clock import RealClock
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.cmd.auth_flags import auth_flags, auth_options
from tiphys.wire import pki


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    """Return the options, and what is said when there are none."""
    found: dict[str, Any] = {}

    @click.command()
    @auth_flags
    def command(**flags: Any) -> None:
        found.update(auth_options(flags))

    result = CliRunner().invoke(command, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return found, result.output


def test_defaults() -> None:
    found, _ = run()
    assert found["authorization_modes"] == ("Node", "RBAC")
    assert found["anonymous_auth"] is None
    assert found["oidc"] is None
    assert found["request_header"] is None
    assert found["token_webhook_cache_ttl_s"] == 120.0
    assert found["authorization_webhook_authorized_ttl_s"] == 300.0


def test_issuers_and_keys(tmp_path: Path) -> None:
    one, two = tmp_path / "a.pem", tmp_path / "b.pem"
    one.write_bytes(pki.public_pem(pki.make_signing_key()))
    two.write_bytes(pki.make_signing_key())
    found, _ = run(
        "--service-account-issuer=https://new", "--service-account-issuer=https://old",
        f"--service-account-key-file={one}", f"--service-account-key-file={two}",
        "--service-account-max-token-expiration=1h30m", "--api-audiences=a,b",
        "--service-account-jwks-uri=https://keys/jwks",
    )  # fmt: skip
    assert (found["service_account_issuer"], found["further_service_account_issuers"]) == (
        "https://new", ("https://old",),
    )  # fmt: skip
    assert len(found["service_account_public_keys"]) == 2
    assert found["service_account_max_token_expiration_s"] == 5400
    assert found["api_audiences"] == ("a", "b")


def test_front_proxies(tmp_path: Path) -> None:
    ca = pki.make_ca("p", RealClock().now()).certificate
    file = tmp_path / "ca.crt"
    file.write_bytes(ca)
    found, _ = run(
        f"--requestheader-client-ca-file={file}", "--requestheader-allowed-names=a,b",
        "--requestheader-username-headers=X-U", "--requestheader-uid-headers=X-I",
        "--requestheader-group-headers=X-G", "--requestheader-extra-headers-prefix=X-E-",
    )  # fmt: skip
    assert found["request_header"] == RequestHeader(ca, ("a", "b"), ("X-U",), ("X-I",), ("X-G",), ("X-E-",))


@pytest.mark.parametrize("allowed", ["", "front"])
def test_one_authority_for_clients_and_proxies(tmp_path: Path, allowed: str) -> None:
    one, two = tmp_path / "ca.crt", tmp_path / "proxies.crt"
    one.write_bytes(pki.make_ca("p", RealClock().now()).certificate)
    two.write_bytes(pki.make_ca("q", RealClock().now()).certificate + one.read_bytes())
    found, said = run(
        f"--client-ca-file={one}", f"--requestheader-client-ca-file={two}",
        f"--requestheader-allowed-names={allowed}", "--requestheader-username-headers=X-U",
    )  # fmt: skip
    assert bool(found) == bool(allowed)
    assert ("contain overlapping certificates" in " ".join(said.split())) != bool(allowed)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--oidc-issuer-url=https://i"], "oidc-issuer-url and oidc-client-id must be specified together"),
        (["--oidc-username-claim=sub"], "must be specified together when any oidc-* flags are set"),
        (
            ["--oidc-client-id=c", "--oidc-username-claim=x"],
            "must be specified together when any oidc-* flags",
        ),
        (
            ["--oidc-issuer-url=https://i", "--oidc-client-id=c", "--oidc-signing-algs=HS256"],
            'oidc: unsupported signing alg: "HS256"',
        ),
        (
            ["--oidc-issuer-url=https://i", "--oidc-client-id=c", "--service-account-issuer=https://i"],
            "URL must not overlap with disallowed issuers: [https://i]",
        ),
        (["--authentication-config=F", "--oidc-issuer-url=https://i"], "mutually exclusive"),
        (["--authentication-config=F", "--oidc-username-claim=sub"], "mutually exclusive"),
        (["--authentication-config=F", "--oidc-required-claim=a=b"], "mutually exclusive"),
        (["--service-account-issuer="], "service-account-issuer should not be an empty string"),
        (
            ["--service-account-issuer=http://a", "--service-account-issuer=http://a"],
            'service-account-issuer "http://a" is already specified',
        ),
        (
            ["--service-account-issuer=http://[::1]:namedport"],
            "service-account-issuer \"http://[::1]:namedport\" contained a ':' but was not a valid URL",
        ),
        (
            ["--service-account-jwks-uri=https://host:port"],
            'service-account-jwks-uri must be a valid URL: parse "https://host:port": invalid port ":port"',
        ),
        (
            ["--service-account-jwks-uri=http://baz.com"],
            "service-account-jwks-uri requires https scheme, parsed as: http://baz.com",
        ),
        (
            ["--authorization-config=F", "--authorization-mode=RBAC"],
            "--authorization-config can not be specified",
        ),
        (
            ["--authorization-config=F", "--authorization-webhook-cache-authorized-ttl=5m0s"],
            "--authorization-config can not be specified",
        ),
        *(
            (
                [f"--service-account-max-token-expiration={text}"],
                "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds",
            )
            for text in ("59m59s", "1193047h")
        ),
        (
            ["--authorization-mode=Webhook"],
            "authorization-mode Webhook's authorization config file not passed",
        ),
        (["--authorization-webhook-config-file=F"], "without mode Webhook"),
        (["--proxy-client-cert-file=F"], "must be specified together"),
        (["--service-account-key-file=F"], "data does not contain any valid RSA or ECDSA public keys"),
        (
            ["--service-account-signing-key-file=F", "--service-account-signing-endpoint=s"],
            "--service-account-signing-key-file and --service-account-signing-endpoint are mutually",
        ),
        (
            ["--service-account-key-file=F", "--service-account-signing-endpoint=s"],
            "--service-account-key-file and --service-account-signing-endpoint are mutually exclusive",
        ),
        (["--token-auth-file=F"], "must have at least 3 columns (token, user name, user uid), found 1"),
        (["--requestheader-client-ca-file=F"], "requestheader-username-headers must be specified"),
        (["--client-ca-file=F"], "unable to load client CA provider: error loading CA bundle for"),
        (
            ["--requestheader-client-ca-file=F", "--requestheader-username-headers=X-U"],
            "unable to create request header authentication config: error loading CA bundle for",
        ),
        (["--authentication-token-webhook-cache-ttl=soon"], 'invalid duration "soon"'),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], text: str) -> None:
    file = tmp_path / "f"
    file.write_text("nothing")
    found, said = run(*(one.replace("=F", f"={file}") for one in arguments))
    assert not found
    assert text in " ".join(said.replace("│", " ").split())


@pytest.mark.parametrize(
    ("modes", "text"),
    [
        ("RBAC,Sometimes", 'authorization-mode "Sometimes" is not a valid mode'),
        ("Node,", 'authorization-mode "" is not a valid mode'),
        ("RBAC,RBAC", 'authorization-mode ["RBAC" "RBAC"] has mode specified more than once'),
    ],
)
def test_modes_that_there_are_not(modes: str, text: str) -> None:
    assert text in run(f"--authorization-mode={modes}")[1]


def test_policies_of_mode_abac(tmp_path: Path) -> None:
    path = tmp_path / "policies"
    path.write_text('{"user": "alice"}\n# a comment\n')
    flag = f"--authorization-policy-file={path}"
    found, _ = run("--authorization-mode=RBAC,ABAC", flag)
    assert [one.user for one in found["authorization_policies"]] == ["alice"]
    assert "cannot specify --authorization-policy-file without mode ABAC" in run(flag)[1]
    missing = "authorization-mode ABAC's authorization policy file not passed"
    assert missing in run("--authorization-mode=ABAC")[1]
    path.write_text("5")
    assert f"error reading policy file {path}, line 1: 5: " in run("--authorization-mode=ABAC", flag)[1]
