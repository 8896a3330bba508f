"""What is said of configuration files that are none."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apiserver.config_files import BadConfiguration, Kind, fields, read_file, url_fault

KIND = "AuthenticationConfiguration"
HEAD = f"apiVersion: apiserver.config.k8s.io/v1\nkind: {KIND}\n"
SHAPE = Kind(KIND, fields("faults", parts=fields("a", deep=fields("b"))), "cannot read it: ", "invalid: ")


def read(document: dict[str, Any], faults: list[FieldError]) -> int:
    faults += [field_errors.required(each) for each in document["faults"]]
    return len(document["faults"])


REFUSED: dict[str, tuple[str, str]] = {
    "no YAML": ("a: [", "cannot read it: yaml: line 1: "),
    "no object": ("- a", "cannot read it: couldn't get version/kind; json parse error: "),
    "no kind": ("apiVersion: v1", "cannot read it: Object 'Kind' is missing in 'apiVersion: v1'"),
    "no version": (f"kind: {KIND}", f"cannot read it: Object 'apiVersion' is missing in 'kind: {KIND}'"),
    "another kind": (
        HEAD.replace(KIND, "Other"),
        'cannot read it: no kind "Other" is registered for version "apiserver.config.k8s.io/v1"',
    ),
    "another version": (
        HEAD.replace("v1", "v9"),
        f'cannot read it: no kind "{KIND}" is registered for version "apiserver.config.k8s.io/v9"',
    ),
    "unknown fields": (
        f"{HEAD}other: 1\nparts: [{{a: 1}}, {{c: 1, deep: {{d: [1]}}}}]",
        'cannot read it: strict decoding error: unknown field "other", unknown field "parts[1].c", '
        'unknown field "parts[1].deep.d"',
    ),
    "a key twice": (
        f"{HEAD}parts:\n- a: 1\n  a: 2\n",
        "cannot read it: strict decoding error: yaml: unmarshal errors:\n"
        '  line 5: key "a" already set in map',
    ),
    "wrong types": (f"{HEAD}faults: 5", f"cannot read it: a field of the {KIND} has the wrong type"),
    "one fault": (f"{HEAD}faults: [a, a]", "invalid: a: Required value"),
    "several faults": (f"{HEAD}faults: [a, b]", "invalid: [a: Required value, b: Required value]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, wanted = REFUSED[name]
    with pytest.raises(BadConfiguration) as caught:
        read_file(text, SHAPE, read)
    assert str(caught.value).startswith(wanted)
    assert caught.value.kind == KIND


def test_read() -> None:
    assert read_file(f"{HEAD}faults: []", SHAPE, read) == 0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://issuer", ""),
        ("issuer", ""),
        ("https://issuer:port", 'parse "https://issuer:port": invalid port ":port" after host'),
        (":443", 'parse ":443": missing protocol scheme'),
        ("https://a/%zz", 'parse "https://a/%zz": invalid URL escape "%zz"'),
        ("https://a%zz", 'parse "https://a%zz": invalid URL escape "%zz"'),
        ("https://a%20b", 'parse "https://a%20b": invalid URL escape "%20"'),
        ("https://a%C3%A4", ""),
        ("a/%zz", 'parse "a/%zz": invalid URL escape "%zz"'),
        ("a b/c:d?e#f", ""),
        ("127.0.0.1:443/x", 'parse "127.0.0.1:443/x": first path segment in URL cannot contain colon'),
        ("a\tb", 'parse "a\\tb": net/url: invalid control character in URL'),
        ("host:443", ""),
        ("", ""),
    ],
)
def test_what_is_no_url(url: str, why: str) -> None:
    assert url_fault(url) == why
