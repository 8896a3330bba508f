"""What names may look like, by the values that upstream holds its own checks against."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiphys.apimachinery import names

LABELS = ["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "012", "1a", "1-a", "1--a--b--2"]
NO_LABELS = [
    "A",
    "ABC",
    "aBc",
    "A1",
    "A-1",
    "1-A",
    "-",
    "a-",
    "-a",
    "1-",
    "-1",
    "_",
    "a_",
    "_a",
    "a_b",
    "1_",
    "_1",
    "1_2",
    ".",
    "a.",
    ".a",
    "1.",
    ".1",
    "",
    " ",
    "a ",
    " a",
    "a b",
    "1 2",
]

GOOD: dict[str, tuple[Callable[[str], list[str]], list[str]]] = {
    "label": (names.is_dns1123_label, [*LABELS, "a" * 63]),
    "subdomain": (
        names.is_dns1123_subdomain,
        [
            *LABELS,
            *(f"{label}.{end}" for label in LABELS for end in "a1"),
            "a.b.c.d.e",
            "11.22.33.44.55",
            "a" * 253,
        ],
    ),
    "caseless": (names.is_dns1123_subdomain_caseless, [*LABELS, "A.b", "ABC", "a.A"]),
    "underscored": (names.is_dns1123_subdomain_with_underscore, ["_a", "a._b", "a_b", "a.b_c.d"]),
    "1035": (names.is_dns1035_label, ["a", "ab", "a1", "a-1", "a--1--2--b", "a" * 63]),
    "port name": (
        names.is_port_name,
        ["telnet", "re-mail-ck", "pop3", "a", "a-1", "1-a", "a-1-b-2-c", "1-a-2-b-3"],
    ),
    "qualified name": (
        names.is_qualified_name,
        [
            "simple",
            "now-with-dashes",
            "1-starts-with-num",
            "1234",
            "simple/simple",
            "now-with.dashes-and.dots/simple",
            "1-num.2-num/3-num",
            "1234/5678",
            "1.2.3.4/5678",
            "Uppercase_Is_OK_123",
            "example.com/Uppercase_Is_OK_123",
            "requests.storage-foo",
            "a" * 63,
            "a" * 253 + "/" + "b" * 63,
        ],
    ),
    "label value": (
        names.is_label_value,
        ["simple", "1-starts-with-num", "end-with-num-1", "1234", "a" * 63, ""],
    ),
    "header": (
        names.is_http_header_name,
        ["Accept-Encoding", "Host", "a", "-a", "a-", "a--1--2--b", "--abc-123", "A-B", "--123-ABC"],
    ),
    "percent": (names.is_percent, ["0%", "00000%", "1%", "01%", "99%", "100%", "101%"]),
    "config key": (
        names.is_config_map_key,
        ["a", "good-good", "still.good", ".so.is.this", "THIS_IS_GOOD", "so_is_this_17"],
    ),
    "wildcard": (names.is_wildcard_dns1123_subdomain, ["*.example.com", "*.bar.com", "*.foo.bar.com"]),
    "environment": (
        names.is_relaxed_env_var_name,
        [
            "-",
            ":",
            "_",
            "+a",
            ">a",
            "<a",
            "a.",
            "a..",
            "*a",
            "%a",
            "?a",
            "a:a",
            "aAz",
            "~a",
            "|a",
            "/a",
            "a ",
            "#a",
            "0 a",
            "'a",
            "(a",
            "@a",
        ],
    ),
}
BAD: dict[str, tuple[Callable[[str], list[str]], list[str]]] = {
    "label": (names.is_dns1123_label, [*NO_LABELS, "a.b", "1.2", "a" * 64]),
    "subdomain": (
        names.is_dns1123_subdomain,
        [*NO_LABELS, "a..b", "1..2", *["A.a", "aB.a", "ab.A", "A1.a", "a1.A", "A.1", "1A.1", "0.A", "1a.A", "A.B.C.D.E", "aa.bB.cc", "a@b", "a,b", "a;b", "a:b", "a%b", "a?b", "a$b"], "a" * 254],
    ),
    "caseless": (names.is_dns1123_subdomain_caseless, ["", "-a", "a_b", "a..b", "a" * 254]),
    "underscored": (names.is_dns1123_subdomain_with_underscore, ["", "_", "__a", "a_", "a._", "a.b_", "A_b"]),
    "1035": (names.is_dns1035_label, [*NO_LABELS, *["0", "01", "1a", "1-a", "1--a--b--2", "a.b"], "a" * 64]),
    "port name": (names.is_port_name, ["longerthan15characters", "", "a" * 16, *["12345", "1-2-3-4", "-begin", "end-", "two--hyphens", "whois++"]]),
    "qualified name": (
        names.is_qualified_name,
        ["nospecialchars%^=@", "cantendwithadash-", "-cantstartwithadash-", "only/one/slash", "Example.com/abc", "example_com/abc", "example.com/", "/simple", "a" * 64, "a" * 254 + "/abc"],
    ),
    "label value": (
        names.is_label_value,
        ["nospecialchars%^=@", "Tama-nui-te-rā.is.Māori.sun", r"\backslashes\are\bad", "-starts-with-dash", "ends-with-dash-", ".starts.with.dot", "ends.with.dot.", "a" * 64],
    ),
    "header": (names.is_http_header_name, ["Host:", "X-@Home", "", "_", "a_", "1_2", ".", "a.b", " ", "a b", "#a#", "^", ",", ";", "=", "<", "?", "@", "{"]),
    "percent": (names.is_percent, ["", "0", "100", "0.0%", "99.9%", "hundred", " 1%", "1% ", "-0%", "-1%", "+1%"]),
    "config key": (names.is_config_map_key, ["", ".", "..", "..bad", "b*d", "bad!&bad"]),
    "wildcard": (names.is_wildcard_dns1123_subdomain, ["*.*.bar.com", "*.foo.*.com", "*bar.com", "f*.bar.com", "*"]),
    "environment": (names.is_relaxed_env_var_name, ["", "=", "a=", "1=a", "a=b", "a\n", "ä", "a\x7f"]),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    check, values = GOOD[name]
    assert {value: check(value) for value in values if check(value)} == {}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    check, values = BAD[name]
    assert [value for value in values if not check(value)] == []


def test_numbers_of_ports() -> None:
    assert not any(names.is_port_number(port) for port in (1, 2, 1000, 16384, 32768, 65535))
    assert all(names.is_port_number(port) for port in (0, -1, 65536, 100000))
    assert not any(names.in_range(*case) for case in ((1, 0, 10), (5, 5, 20), (25, 10, 25)))
    assert all(names.in_range(*case) for case in ((1, 2, 10), (5, -4, 2), (25, 100, 120)))
