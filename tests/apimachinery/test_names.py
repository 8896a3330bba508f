import pytest

from tiphys.apimachinery import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
    " end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
CASES = [
    (names.is_dns1123_label, "web-1", []),
    (names.is_dns1123_label, "Web", [LABEL]),
    (names.is_dns1123_label, "a.b", ["must not contain dots"]),
    (names.is_dns1123_label, "a" * 64, ["must be no more than 63 bytes"]),
    (names.is_dns1123_label, "a\n", [LABEL]),
    (names.is_dns1123_subdomain, "a.b-c", []),
    (names.is_dns1035_label, "a1", []),
    (names.is_wildcard_dns1123_subdomain, "*.a.b", []),
    (names.is_qualified_name, "example.com/Name", []),
    (names.is_qualified_name, "", ["name part must be non-empty", QUALIFIED]),
    (names.is_qualified_name, "/a", ["prefix part must be non-empty"]),
    (names.is_label_value, "", []),
    (names.is_label_value, "a_b.C", []),
    (names.is_config_map_key, "..", ["must not be '..'"]),
    (names.is_config_map_key, "a.b", []),
    (names.is_relaxed_env_var_name, "A B", []),
    (names.is_c_identifier, "_a1", []),
    (names.is_port_name, "http", []),
    (
        names.is_port_name,
        "-1--",
        [
            "must contain at least one letter (a-z)",
            "must not contain consecutive hyphens",
            "must not begin or end with a hyphen",
        ],
    ),
    (names.is_port_number, 0, ["must be between 1 and 65535, inclusive"]),
    (names.is_percent, "5%", []),
    (names.is_http_header_name, "X-A", []),
    (names.is_http_path, "b/c", []),
    (names.is_condition_reason, "ReasonA:b_", []),
    (names.is_path_segment_name, "a/b%", ["may not contain '/'", "may not contain '%'"]),
    (names.is_path_segment_name, "system:node", []),
]


@pytest.mark.parametrize(("check", "value", "expected"), CASES)
def test_names(check, value, expected) -> None:  # type: ignore[no-untyped-def]
    assert check(value) == expected


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (names.is_dns1035_label, "1a"), (names.is_qualified_name, "a/b/c"), (names.is_label_value, "a b"),
        (names.is_relaxed_env_var_name, "a=b"), (names.is_c_identifier, "a-b"),
        (names.is_percent, "x%"), (names.is_http_header_name, "a b"), (names.is_http_path, "a b"),
        (names.is_condition_reason, "9"),
        (names.is_wildcard_dns1123_subdomain, "a.b"), (names.is_config_map_key, "a b"),
    ],
)  # fmt: skip
def test_refuses(check, bad) -> None:  # type: ignore[no-untyped-def]
    assert len(check(bad)) == 1
