"""What is said of configuration files that are none."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import FieldError
from tiphys.apiserver.config_files import BadConfiguration, read_file

KIND = "AuthenticationConfiguration"
HEAD = f"apiVersion: apiserver.config.k8s.io/v1\nkind: {KIND}\n"


def read(document: dict[str, Any], faults: list[FieldError]) -> int:
    faults += [field_errors.required(each) for each in document["faults"]]
    return len(document["faults"])


REFUSED: dict[str, tuple[str, str]] = {
    "no YAML": ("a: [", "cannot read it: while parsing"),
    "no object": ("- a", f'expected {KIND}, got ""'),
    "another kind": (HEAD.replace(KIND, "Other"), f'expected {KIND}, got "Other"'),
    "another version": (
        HEAD.replace("v1", "v9"),
        f'no kind "{KIND}" is registered for version "apiserver.config.k8s.io/v9"',
    ),
    "wrong types": (f"{HEAD}faults: 5", f"a field of the {KIND} has the wrong type"),
    "one fault": (f"{HEAD}faults: [a, a]", "a: Required value"),
    "several faults": (f"{HEAD}faults: [a, b]", "[a: Required value, b: Required value]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, wanted = REFUSED[name]
    with pytest.raises(BadConfiguration) as caught:
        read_file(text, KIND, "cannot read it", read)
    assert str(caught.value).startswith(wanted)
    assert caught.value.kind == KIND


def test_read() -> None:
    assert read_file(f"{HEAD}faults: []", KIND, "", read) == 0
