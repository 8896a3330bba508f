"""YAML as Go's library has it: cases of its own tests and of how it resolves words."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import go_yaml, go_yaml_documents

DOCUMENTS = {
    "text": ("t: a\n", {"t": "a"}),
    "nothing": ("t: \n", {"t": None}),
    "whole keys": ("1: a\n", {"1": "a"}),
    "large keys": ("1000000000000000000000000000000000000: a\n", {"1e+36": "a"}),
    "keys with an exponent": ("1e+36: a\n", {"1e+36": "a"}),
    "quoted keys": ('"1e+36": a\n"1.2": b\n', {"1e+36": "a", "1.2": "b"}),
    "switches as keys": ("on: 1\nn: 2\n1.5: 3", {"true": 1, "false": 2, "1.5": 3}),
    "lists": ("- t: a\n- t:\n    b: 1\n    c: 2\n", [{"t": "a"}, {"t": {"b": 1, "c": 2}}]),
    "in one line": ("[{t: a}, {t: {b: 1, c: 2}}]", [{"t": "a"}, {"t": {"b": 1, "c": 2}}]),
    "null": ("null\n", None),
    "nulls": ("[null,~,]\n", [None, None]),
    "no document": ("\n", None),
    "an empty document": ("---\n", None),
    "the first of a stream": ("---\na: b\n---\nc: d\n---\n[", {"a": "b"}),
    "binary": ("a: !!binary aGVsbG8=\n", {"a": "hello"}),
    "tags that nobody knows": ("!a {b: !c d, e: !f [1]}", {"b": "d", "e": [1]}),
    "tags that say the type": ("{a: !!int '3', b: !!str 3, c: !!float 1, d: !!null '', e: !!bool yes}",
                               {"a": 3, "b": "3", "c": 1, "d": None, "e": True}),
    "whole fractions": ("{a: 1.0, b: 1e3, c: 1.5, d: 1e300}", {"a": 1, "b": 1000, "c": 1.5, "d": 1e300}),
    "merged before": ("x: &x {b: 1, c: 2}\nz:\n  <<: *x\n  b: 3\n", {"x": {"b": 1, "c": 2}, "z": {"b": 3, "c": 2}}),
    "merged after": ("x: &x {b: 1}\nz:\n  b: 3\n  <<: *x\n", {"x": {"b": 1}, "z": {"b": 1}}),
    "the first of merged maps": ("z:\n  <<: [{a: 1}, {a: 2, b: 2}]\n", {"z": {"a": 1, "b": 2}}),
    "a quoted merge key": ('"<<": 1', {"<<": 1}),
    "aliases": ("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str) -> None:
    text, value = DOCUMENTS[name]
    assert go_yaml.load(text)[0] == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("y", True), ("N", False), ("yes", True), ("OFF", False), ("yEs", "yEs"), ("tRUE", "tRUE"), ("~", None),
        ("NULL", None), ("nuLL", "nuLL"), ("12:30", "12:30"), ("190:20:30", "190:20:30"), ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"), ("=", "="), ("<<x", "<<x"), ("1_000", 1000), ("_1", "_1"),
        ("0777", 511), ("0o17", 15), ("08", 8.0), ("0x1F", 31), ("0b11", 3), ("-0b11", -3), ("+1", 1), ("-0x10", -16),
        ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("+.5", 0.5), ("-1.5e-3", -0.0015), ("1e400", "1e400"), (".", "."),
        ("-", "-"), ("1.2.3", "1.2.3"), ("1e", "1e"), ("0x", "0x"), ("0xg", "0xg"), ("._5", "._5"), ("9f", "9f"),
        ("18446744073709551615", 18446744073709551615), ("18446744073709551616", 18446744073709551616.0),
        ("1" * 500, "1" * 500),
    ],
)  # fmt: skip
def test_plain_words(word: str, value: Any) -> None:
    found = go_yaml_documents.scalar(word)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\n9: 3\n9: 4\n", ["line 3: key 9 already set in map"]),
        ("c: 3\na: 1\nb: 2\nc: 4\n", ['line 4: key "c" already set in map']),
        # The line is the value's, and what is inside comes first.
        ("s:\n  a: 1\ns:\n  b:\n    c: 1\n    c: 2\n",
         ['line 6: key "c" already set in map', 'line 4: key "s" already set in map']),
        ("- {a: 1, a: 2}\n- {on: 1, yes: 2}\n",
         ['line 1: key "a" already set in map', "line 2: key true already set in map"]),
        ("x: &x {b: 1}\nz:\n  <<: *x\n  b: 3\n", ['line 4: key "b" already set in map']),
        ('1: a\n"1": b\n', []),
        ("true: a\n1: b\n", []),
    ],
)  # fmt: skip
def test_keys_that_come_twice(text: str, lines: list[str]) -> None:
    assert go_yaml.load(text)[1] == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("~: a", 'unsupported map key of type: %!s(<nil>), key: <nil>, value: "a"'),
        ("? [a]\n: b", 'yaml: invalid map key: []interface {}{"a"}'),
        ("? {a: b}\n: c", 'yaml: invalid map key: map[interface {}]interface {}{"a":"b"}'),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("a: -.Inf", "json: unsupported value: -Inf"),
        ("a: .nan", "json: unsupported value: NaN"),
        ("a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("a: !!binary x", "yaml: !!binary value contains invalid base64 data"),
        ("<<: 1", "yaml: map merge requires map or sequence of maps as the value"),
        ("<<: [1]", "yaml: map merge requires map or sequence of maps as the value"),
        ("a: *x", "yaml: unknown anchor 'x' referenced"),
        ("{b: &y 1, a: &x [*y, *x]}", "yaml: anchor 'x' value contains itself"),
        ("a: &x {<<: *x}", "yaml: anchor 'x' value contains itself"),
        # Of the parser's faults the line before is told, of the scanner's the line itself; the first is none.
        ("a: [", "yaml: line 1: did not find expected node content"),
        ("a:\n- b\n  c: d\n", "yaml: line 3: mapping values are not allowed in this context"),
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("\tx: 1", "yaml: found character that cannot start any token"),
        ("a: 'x", "yaml: found unexpected end of stream"),
        ("a: \x01", "yaml: control characters are not allowed"),
        ("a: " + "[" * 241 + "]" * 241, "yaml: exceeded max depth of 240"),
    ],
)
def test_faults(text: str, message: str) -> None:
    with pytest.raises(go_yaml.YamlError) as caught:
        go_yaml.load(text)
    assert str(caught.value) == message


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(go_yaml.YamlError, match="excessive aliasing"):
        go_yaml.load("\n".join(lines))


WORDS = st.sampled_from(
    [*"yYnN", "on", "1e3", "08", "12:30", "0o7", "1_0", "<<", "~", "null", "", ".5", "=", "0x1"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | WORDS, inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    assert go_yaml.load(go_yaml.dump(value)) == (value, [])


NUMBERS = [
    (1e-7, "1e-07"), (1e-5, "1e-05"), (0.0001, "0.0001"), (0.1, "0.1"), (-1.5, "-1.5"), (100000.5, "100000.5"),
    (123456789.5, "1.234567895e+08"), (2.0, "2"), (1e15, "1000000000000000"), (-0.0, "0"), (1e20, "1e+20"),
    (1e300, "1e+300"), (2**63 - 1, "9223372036854775807"), (-(2**63), "-9223372036854775808"),
    (2.0**63, "9223372036854776000"), (2**64, "1.8446744073709552e+19"), (0, "0"), (True, "true"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert go_yaml.dump({"a": value}) == f"a: {text}\n"


TEXTS = {
    "": '""',
    "plain": "plain",
    "two words": "two words",
    "253": '"253"',
    "1e3": '"1e3"',
    "true": '"true"',
    "y": '"y"',
    "null": '"null"',
    "~": '"~"',
    "<<": '"<<"',
    "2026-11-27T18:58:36Z": '"2026-11-27T18:58:36Z"',
    "2026-11-27": '"2026-11-27"',
    "2026-11-27 is a day": "2026-11-27 is a day",
    "12:30": '"12:30"',
    "12:90": "12:90",
    "10.0.0.1": "10.0.0.1",
    "*": "'*'",
    "a: b": "'a: b'",
    "#": "'#'",
    " begins with a space": "' begins with a space'",
    "it's": "it's",
    "\t": '"\\t"',
    "one\ntwo\n": "|\n  one\n  two",
    "one\ntwo": "|-\n  one\n  two",
}


@pytest.mark.parametrize(("text", "written"), TEXTS.items())
def test_texts_are_written_as_go_writes_them(text: str, written: str) -> None:
    assert go_yaml.dump({"a": text}) == f"a: {written}\n"
    assert go_yaml.load(go_yaml.dump({"a": text})) == ({"a": text}, [])


def test_what_stands_twice_is_written_twice() -> None:
    shared: dict[str, Any] = {"a": {}}
    written = go_yaml.dump({"b": shared, "c": [shared, shared["a"]]})
    assert written == "b:\n  a: {}\nc:\n- a: {}\n- {}\n"


def test_an_object() -> None:
    meta = {
        "name": "a",
        "resourceVersion": "253",
        "creationTimestamp": "2026-11-27T18:58:36Z",
        "labels": {"1": "y"},
    }
    value = {
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {"run.sh": "#!/bin/sh\necho\n"},
        "rules": ["*", {}, []],
    }
    assert go_yaml.dump(value) == (
        "data:\n  run.sh: |\n    #!/bin/sh\n    echo\nkind: ConfigMap\nmetadata:\n"
        '  creationTimestamp: "2026-11-27T18:58:36Z"\n  labels:\n    "1": "y"\n  name: a\n'
        "  resourceVersion: \"253\"\nrules:\n- '*'\n- {}\n- []\n"
    )


@pytest.mark.parametrize(
    "keys",
    [
        ["a", "app", "app.kubernetes.io/name", "apple"],
        ["app-x", "app1", "apple"],
        ["cpu", "cpu2", "cpu10", "cpuset"],
        ["B", "a"],
        ["x2", "x02", "x10", "x100"],
        ["x100", "x101", "x1001"],
        ["v1-a", "v1a"],
        ["1" * 5000, "2" * 5000],
    ],
    ids=lambda keys: keys[0][:8],
)
def test_keys_are_written_in_the_order_of_their_numbers(keys: list[str]) -> None:
    written = go_yaml.dump(dict.fromkeys(reversed(keys), 1))
    assert list(go_yaml.load(written)[0]) == keys
