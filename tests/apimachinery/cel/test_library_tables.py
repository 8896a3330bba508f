"""The rows of the API's own tests of its libraries that ``test_libraries`` does not have: what is so, what fails."""
# ruff: noqa: E501

from __future__ import annotations

from itertools import permutations

import pytest

from tiphys.apimachinery.cel import CompileError, Environment, EvaluationError

ENVIRONMENT = Environment({})

SO = [
    # quantities
    "quantity('12Mi') == quantity('12582912')",
    "isQuantity('20M') && isQuantity('20Mi') && isQuantity('20')",
    "!isQuantity('20Mo') && !isQuantity('10Mm')",
    "quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')",
    "quantity('2M') == quantity('0.002G') && quantity('2000k') == quantity('2M')",
    "quantity('200M') != quantity('0.3G')",
    "quantity('50M').isLessThan(quantity('50Mi')) && !quantity('100M').isLessThan(quantity('50M'))",
    "quantity('50Mi').isGreaterThan(quantity('50M')) && !quantity('50M').isGreaterThan(quantity('100M'))",
    "quantity('50Mi').compareTo(quantity('50M')) == 1",
    "quantity('50k').add(quantity('20')) == quantity('50.02k')",
    "!quantity('50k').add(20).isLessThan(quantity('50020'))",
    "quantity('50k').sub(quantity('20')) == quantity('49.98k')",
    "quantity('50k').sub(20) == quantity('49980')",
    "quantity('50k').add(20).sub(quantity('100k')).asInteger() == -49980",
    "quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() == 20",
    "quantity('50.703k').asApproximateFloat() == 50703.0",
    # versions
    "isSemver('1.2.3-beta.1+build.1')",
    *[f"!isSemver('{text}')" for text in ("", "v1.0.0", " 1.0.0", "1. 0.0", "1.0.0 ", "01.01.01", "1", "1.1")],
    *[f"!isSemver('{text}', true)" for text in ("", " 1.0.0", "1. 0.0", "1.0.0 ")],
    *[f"isSemver('{text}', true)" for text in ("v1.0.0", "01.01.01", "1", "1.1")],
    "semver('v01.01', true) == semver('1.1.0')",
    "semver('1.2.3') != semver('1.0.0')",
    "semver('1.0.0').isLessThan(semver('1.2.3')) && !semver('1.0.0').isLessThan(semver('1.0.0'))",
    "semver('1.2.3').isGreaterThan(semver('1.0.0')) && !semver('1.0.0').isGreaterThan(semver('1.0.0'))",
    "semver('1.0.0').compareTo(semver('1.2.3')) == -1 && semver('1.2.3').compareTo(semver('1.0.0')) == 1",
    # addresses
    "isIP('192.168.0.1') && !isIP('192.168.0.1.0') && isIP('2001:db8::68') && !isIP('2001:db8:::68')",
    "ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::68') && !ip.isCanonical('2001:DB8::68')",
    "!ip('127.0.0.1').isUnspecified() && ip('::').isUnspecified() && !ip('::1').isUnspecified()",
    "!ip('1.2.3.4').isLoopback() && ip('::1').isLoopback() && !ip('2001:db8::abcd').isLoopback()",
    "!ip('fd00::1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
    "!ip('192.168.0.1').isLinkLocalUnicast() && ip('2001:db8::abcd').isGlobalUnicast()",
    "string(ip('192.168.0.1')) == '192.168.0.1' && ip('2001:db8::68').family() == 6",
    "cidr(dyn('192.168.0.0/24')) == cidr('192.168.0.0/24') && type(cidr('192.168.0.0/24')) == net.CIDR",
    "cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/25'))",
    "!cidr('192.168.0.0/24').containsCIDR('192.168.0.0/23')",
    "cidr('192.168.0.0/24').masked() == cidr('192.168.0.1/24').masked()",
    "cidr('192.168.0.0/24').prefixLength() == 24 && cidr('2001:db8::/32').prefixLength() == 32",
    "cidr('2001:db8::/32').containsIP(ip('2001:db8::1')) && !cidr('2001:db8::/32').containsIP('2001:dc8::1')",
    "cidr('2001:db8::/32').containsCIDR('2001:db8::/33') && !cidr('2001:db8::/32').containsCIDR(cidr('2001:db8::/31'))",
    "cidr('2001:db8::/32').ip() == ip('2001:db8::') && cidr('2001:db8:1::/32').masked() == cidr('2001:db8::/32')",
    # formats
    "format.dns1123Subdomain().validate('apiextensions.k8s.io') == optional.none()",
    "format.qualifiedName().validate('apiextensions.k8s.io/v1beta1') == optional.none()",
    "format.dns1123LabelPrefix().validate('my-label-prefix-') == optional.none()",
    "format.dns1123SubdomainPrefix().validate('mysubdomain.prefix.-') == optional.none()",
    "format.dns1035LabelPrefix().validate('my-label-prefix-') == optional.none()",
    "format.labelValue().validate('my-cool-label-Value') == optional.none()",
    "format.byte().validate('aGVsbG8') == optional.of(['invalid base64'])",
    "format.date().validate('2020-01-32') == optional.of(['invalid date'])",
    "format.datetime().validate('2020-01-32T00:00:00Z') == optional.of(['invalid datetime'])",
    "!format.named('unknown').hasValue()",
]  # fmt: skip


@pytest.mark.parametrize("expression", SO)
def test_so_it_is(expression: str) -> None:
    assert ENVIRONMENT.compile(expression).evaluate({}) is True


LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
SUBDOMAIN = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
OLD_LABEL = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
QUALIFIED = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
VALUE = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"


@pytest.mark.parametrize(
    ("format_", "text", "fault"),
    [
        ("dns1123Label", "contains a space", LABEL),
        ("dns1123Subdomain", "contains a space", SUBDOMAIN),
        ("dns1035Label", "contains a space", OLD_LABEL),
        ("qualifiedName", "contains a space", QUALIFIED),
        ("dns1123LabelPrefix", "contains a space-", LABEL),
        ("dns1123SubdomainPrefix", "contains a space-", SUBDOMAIN),
        ("dns1035LabelPrefix", "contains a space-", OLD_LABEL),
        ("labelValue", r"my-cool-label-Value!!\n\n!!!", VALUE),
    ],
)
def test_why_a_text_has_not_a_format(format_: str, text: str, fault: str) -> None:
    found = ENVIRONMENT.compile(f"format.{format_}().validate('{text}').value()").evaluate({})
    assert found == [fault]


FORMATS = (
    "dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix",
    "dns1123SubdomainPrefix", "dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date", "datetime",
)  # fmt: skip


def test_a_format_is_itself_and_no_other() -> None:
    named = [f"format.named('{name}').value() == format.{name}()" for name in FORMATS]
    others = [f"format.{one}() != format.{other}()" for one, other in permutations(FORMATS, 2)]
    for expression in named + others:
        assert ENVIRONMENT.compile(expression).evaluate({}) is True, expression


FAILS = {
    "quantity('10Mo')": "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    "quantity('10Mm')": "unable to parse quantity's suffix",
    "quantity('9999999999999999999999999999999999999G').asInteger()": "cannot convert value to integer",
    "semver('v1.0')": "No Major.Minor.Patch elements found",
    "ip.isCanonical('127.0.0.1.0')": 'IP Address "127.0.0.1.0" parse error during conversion from string: '
    'ParseAddr("127.0.0.1.0"): IPv4 address too long',
    "cidr('192.168.0.0/')": "network address parse error during conversion from string: network address parse error "
    'during conversion from string: netip.ParsePrefix("192.168.0.0/"): bad bits after slash: ""',
    "cidr('2001:db8::/')": "network address parse error during conversion from string: network address parse error "
    'during conversion from string: netip.ParsePrefix("2001:db8::/"): bad bits after slash: ""',
}


@pytest.mark.parametrize("expression", FAILS)
def test_fails(expression: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(expression).evaluate({})
    assert str(caught.value) == FAILS[expression]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("isQuantity([1, 2, 3])", "found no matching overload for 'isQuantity' applied to '(list(int))'"),
        ("isSemver([1, 2, 3])", "found no matching overload for 'isSemver' applied to '(list(int))'"),
        ("isIP(cidr('192.168.0.0/24'))", "found no matching overload for 'isIP' applied to '(net.CIDR)'"),
        ("cidr(192168)", "found no matching overload for 'cidr' applied to '(int)'"),
        ("quantity('1').mul(2)", "undeclared reference to 'mul'"),
    ],
)
def test_what_no_function_takes(expression: str, fault: str) -> None:
    with pytest.raises(CompileError) as caught:
        ENVIRONMENT.compile(expression)
    assert fault in str(caught.value)
