"""The libraries: strings, lists, sets, patterns, URLs, addresses, quantities, versions, formats, access."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tiphys.apimachinery.cel import Budget, CompileError, Environment, EvaluationError, types
from tiphys.apimachinery.cel.libraries import WITH_BINDINGS
from tiphys.apimachinery.cel.library.authorizers import (
    AUTHORIZER,
    RESOURCE_CHECK,
    AccessCheck,
    Authorizer,
    Decision,
    resource_check,
)
from tiphys.apimachinery.cel.values import equals

ENVIRONMENT = Environment({"d": types.DYN})

GIVES: dict[str, Any] = {
    # strings
    "'tacocat'.charAt(3)": "o",
    "'tacocat'.charAt(7)": "",
    "'©αT'.charAt(1)": "α",
    "'tacocat'.indexOf('ac')": 1,
    "'tacocat'.indexOf('none')": -1,
    "'tacocat'.indexOf('')": 0,
    "'tacocat'.indexOf('a', 3)": 5,
    "'tacocat'.indexOf('a', 30)": -1,
    "''.indexOf('a')": -1,
    "'tacocat'.lastIndexOf('at')": 5,
    "'tacocat'.lastIndexOf('none')": -1,
    "'tacocat'.lastIndexOf('')": 7,
    "'tacocat'.lastIndexOf('a', 3)": 1,
    "'TacoCÆt'.lowerAscii()": "tacocÆt",
    "'tacoCæt'.upperAscii()": "TACOCæT",
    "'hello hello'.replace('he', 'we')": "wello wello",
    "'hello hello'.replace('he', 'we', 1)": "wello hello",
    "'hello hello'.replace('he', 'we', 0)": "hello hello",
    "'ab'.replace('', '_')": "_a_b_",
    "'a,b,c'.split(',')": ["a", "b", "c"],
    "'a,b,c'.split(',', 0)": [],
    "'a,b,c'.split(',', 1)": ["a,b,c"],
    "'a,b,c'.split(',', 2)": ["a", "b,c"],
    "'a,b,c'.split(',', -1)": ["a", "b", "c"],
    "'abc'.split('')": ["a", "b", "c"],
    "'abc'.split('', 2)": ["a", "bc"],
    "'tacocat'.substring(4)": "cat",
    "'tacocat'.substring(0, 4)": "taco",
    "'ta©o©αT'.substring(2, 6)": "©o©α",
    "' \\t\\n trim \\u00a0\\u3000'.trim()": "trim",
    "['x', 'y'].join()": "xy",
    "['x', 'y'].join('-')": "x-y",
    "[].join('-')": "",
    "strings.quote('a \"b\"\\n')": '"a \\"b\\"\\n"',
    "'%s is %d years'.format([dyn('x'), 3])": "x is 3 years",
    "'100%%'.format([])": "100%",
    "'%s %s %s'.format([dyn(true), null, 1.5])": "true null 1.5",
    "'%s'.format([[1, 2]])": "[1, 2]",
    "'%s'.format([['a', 'b']])": '["a", "b"]',
    "'%s'.format([{'b': 2, 'a': 1}])": '{"a":1, "b":2}',
    "'%s'.format([[1.5, 2.0]])": "[1.500000, 2.000000]",
    "'%s'.format([duration('90s')])": "90s",
    "'%s'.format([timestamp('2020-01-01T00:00:00Z')])": "2020-01-01T00:00:00Z",
    "'%s'.format([type(1)])": "int",
    "'%s'.format([b'x'])": "x",
    "'%d'.format([7u])": "7",
    "'%f'.format([1.5])": "1.500000",
    "'%.2f'.format([1.005])": "1.00",
    "'%f %.1f'.format([1234567.25, -1234.25])": "1,234,567.250000 -1,234.2",
    "'%f %f %f'.format([dyn('Infinity'), -1.0 / 0.0, 0.0 / 0.0])": "∞ -∞ NaN",
    "'%e %e'.format([1052.032911275, -0.00002])": "1.052033\u202f×\u202f10⁰³ -2.000000\u202f×\u202f10⁻⁰⁵",
    # what is meant for a precision is taken for a width
    "'%.1e|%.18e|%.3e'.format([dyn(1052.03), 1052.03, 'Infinity'])": "1.052030\u202f×\u202f10⁰³|"
    "   1.052030\u202f×\u202f10⁰³|  ∞",
    "'%s %s %s'.format([1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0])": "+Inf -Inf NaN",
    "'%s'.format([[1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0]])": '["+Inf", "-Inf", "NaN"]',
    "'%s'.format([{dyn(1): dyn('v'), uint(2): b'x\\x00', true: null}])": r'{1:"v", 2:b"x\x00", true:null}',
    "'%s'.format([dyn([dyn(duration('2h')), timestamp('2023-02-03T23:31:20Z')])])": '[duration("7200s"), '
    'timestamp("2023-02-03T23:31:20Z")]',
    "'%%%s%%'.format(['a'])": "%a%",
    "'%s'.format(dyn([1, 2]))": "1",
    "'%b %b'.format([dyn(5), true])": "101 1",
    "'%o'.format([8])": "10",
    "'%x %X'.format([255, 255])": "ff FF",
    "'%x'.format(['hi'])": "6869",
    "'%x'.format([b'\\x01\\xff'])": "01ff",
    "'%f'.format(['NaN'])": "NaN",
    # lists
    "[1, 2, 3].isSorted()": True,
    "['a', 'b', 'b', 'c'].isSorted()": True,
    "[2.0, 1.0].isSorted()": False,
    "[1].isSorted()": True,
    "[].isSorted()": True,
    "[1, 3].sum()": 4,
    "[1.0, 3.0].sum()": 4.0,
    "[duration('1m'), duration('1s')].sum() == duration('61s')": True,
    "[1, 3].min()": 1,
    "[1, 3].max()": 3,
    "['b', 'a'].min()": "a",
    "[1, 2, 2, 3].indexOf(2)": 1,
    "['a', 'b', 'b', 'c'].lastIndexOf('b')": 2,
    "[1.0].indexOf(1.1)": -1,
    "[].indexOf('string')": -1,
    # sets
    "sets.contains([1, 2, 3], [2, 3])": True,
    "sets.contains([1], [])": True,
    "sets.contains([1], [1, 2])": False,
    "sets.equivalent([1, 1, 2], [2, 1])": True,
    "sets.equivalent([1], [1, 2])": False,
    "sets.intersects([1, 2], [2, 3])": True,
    "sets.intersects([1], [])": False,
    # patterns
    "'abc 123'.find('[0-9]+')": "123",
    "'abc'.find('[0-9]+')": "",
    "'123 abc 456'.findAll('[0-9]*') == ['123', '', '', '', '', '456']": True,
    "'1 2 3'.findAll('[0-9]', 2)": ["1", "2"],
    "'1 2 3'.findAll('[0-9]', 0)": [],
    "'1 2 3'.findAll('[0-9]', -1)": ["1", "2", "3"],
    # URLs
    "isURL('https://user:pass@example.com:80/path?query=val#fragment')": True,
    "isURL('/absolute-path')": True,
    "isURL('https://a:b:c/')": False,
    "isURL('../relative-path')": False,
    "isURL('')": False,
    "isURL('https://host:port/')": False,
    "isURL('http://a b/')": False,
    "isURL('/a%zz')": False,
    "url('/path').getScheme()": "",
    "url('HTTPS://example.com/').getScheme()": "https",
    "url('https://example.com:80/').getHost()": "example.com:80",
    "url('https://[::1]:80/').getHost()": "[::1]:80",
    "url('/path').getHost()": "",
    "url('https://example.com:80/').getHostname()": "example.com",
    "url('https://[::1]:80/').getHostname()": "::1",
    "url('https://[::1]/').getHostname()": "::1",
    "url('https://example.com:80/').getPort()": "80",
    "url('https://example.com/').getPort()": "",
    "url('https://example.com/path with spaces/').getEscapedPath()": "/path%20with%20spaces/",
    "url('https://example.com').getEscapedPath()": "",
    "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery()": {"k1": ["a"], "k2": ["b", "c"]},
    "url('https://example.com/path?key with spaces=value with spaces').getQuery()": {
        "key with spaces": ["value with spaces"]
    },
    "url('https://example.com/path?').getQuery()": {},
    "url('https://example.com/') == url('https://example.com/')": True,
    "type(url('/a')) == type(url('/b'))": True,
    # addresses
    "isIP('127.0.0.1')": True,
    "isIP('::1')": True,
    "isIP('127.0.0.256')": False,
    "isIP(':::1')": False,
    "isIP('01.2.3.4')": False,
    "isIP('::ffff:1.2.3.4')": False,
    "isIP('fe80::1%eth0')": False,
    "ip('::1').family()": 6,
    "ip('127.0.0.1').family()": 4,
    "ip.isCanonical('2001:db8::abcd')": True,
    "ip.isCanonical('2001:DB8::ABCD')": False,
    "ip('0.0.0.0').isUnspecified()": True,
    "ip('127.0.0.1').isLoopback()": True,
    "ip('224.0.0.1').isLinkLocalMulticast()": True,
    "ip('224.0.1.1').isLinkLocalMulticast()": False,
    "ip('ff02::1').isLinkLocalMulticast()": True,
    "ip('169.254.169.254').isLinkLocalUnicast()": True,
    "ip('fd80::1').isLinkLocalUnicast()": False,
    "ip('192.168.0.1').isGlobalUnicast()": True,
    "ip('255.255.255.255').isGlobalUnicast()": False,
    "ip('ff00::1').isGlobalUnicast()": False,
    "string(ip('2001:DB8::1'))": "2001:db8::1",
    "ip('1.2.3.4') == ip('1.2.3.4')": True,
    "isCIDR('192.168.0.0/16')": True,
    "isCIDR('192.168.0.0/33')": False,
    "isCIDR('::1/129')": False,
    "isCIDR('192.168.0.0')": False,
    "isCIDR('192.168.0.0/016')": False,
    "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))": True,
    "cidr('192.168.0.0/24').containsIP('192.168.1.1')": False,
    "cidr('192.168.0.0/24').containsIP('::1')": False,
    "cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24'))": True,
    "cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')": False,
    "cidr('192.168.0.0/24').containsCIDR('192.168.0.0/16')": False,
    "cidr('192.168.0.1/24').ip() == ip('192.168.0.1')": True,
    "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')": True,
    "cidr('192.168.0.1/24') == cidr('192.168.0.0/24')": False,
    "cidr('::1/128').prefixLength()": 128,
    "string(cidr('10.0.0.0/8'))": "10.0.0.0/8",
    "type(ip('1.2.3.4')) == net.IP": True,
    # quantities
    "isQuantity('1.3Gi')": True,
    "isQuantity('1,3G')": False,
    "isQuantity('200K')": False,
    "quantity('50k').isInteger()": True,
    "quantity('9999999999999999999999999999999999999G').isInteger()": False,
    "quantity('50k').asInteger()": 50000,
    "quantity('1.5').asApproximateFloat()": 1.5,
    "quantity('50k').add(quantity('20k')) == quantity('70k')": True,
    "quantity('50k').add(20) == quantity('50020')": True,
    "quantity('50k').sub(20000) == quantity('30k')": True,
    "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')": True,
    "quantity('200M').compareTo(quantity('0.2G'))": 0,
    "quantity('50M').compareTo(quantity('50Mi'))": -1,
    "quantity('150Mi').isGreaterThan(quantity('100Mi'))": True,
    "quantity('50M').isLessThan(quantity('100M'))": True,
    "sign(quantity('-1'))": -1,
    "sign(quantity('0'))": 0,
    # versions
    "isSemver('1.0.0')": True,
    "isSemver('hello')": False,
    "isSemver('v1.0')": False,
    "isSemver('v1.0', true)": True,
    "isSemver('01.0.0')": False,
    "semver('01.01.01', true) == semver('1.1.1')": True,
    "semver('1.2.3').major()": 1,
    "semver('1.2.3').minor()": 2,
    "semver('1.2.3').patch()": 3,
    "semver('1.2.3').compareTo(semver('1.2.3'))": 0,
    "semver('1.2.3').isLessThan(semver('2.0.0'))": True,
    "semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))": True,
    "semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10'))": True,
    "semver('1.0.0-1').isLessThan(semver('1.0.0-a'))": True,
    "semver('1.0.0-a').isLessThan(semver('1.0.0-a.1'))": True,
    "semver('1.0.0+a') == semver('1.0.0+b')": True,
    # formats
    "format.dns1123Label().validate('my-name').hasValue()": False,
    "format.dns1123Label().validate('My-name').value().size()": 1,
    "format.dns1123LabelPrefix().validate('my-name-').hasValue()": False,
    "format.dns1123Subdomain().validate('a.b.c').hasValue()": False,
    "format.dns1035Label().validate('1a').hasValue()": True,
    "format.qualifiedName().validate('example.com/name').hasValue()": False,
    "format.labelValue().validate('a b').hasValue()": True,
    "format.uri().validate('http://example.com').hasValue()": False,
    "format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()": False,
    "format.uuid().validate('x').value()": ["does not match the UUID format"],
    "format.byte().validate('aGVsbG8=').hasValue()": False,
    "format.byte().validate('a').value()": ["invalid base64"],
    "format.date().validate('2021-01-01').hasValue()": False,
    "format.date().validate('2021-13-01').value()": ["invalid date"],
    "format.date().validate('2021-W01-1').value()": ["invalid date"],
    "format.datetime().validate('2021-01-01T00:00:00Z').hasValue()": False,
    "format.datetime().validate('2021-01-01t00:00:00z').hasValue()": False,
    "format.datetime().validate('2021-01-01T00:00Z').value()": ["invalid datetime"],
    "format.byte().validate('').value()": ["invalid base64"],
    "format.named('uuid').hasValue()": True,
    "format.named('nothing').hasValue()": False,
}

FAILS: dict[str, str] = {
    "'abc'.charAt(9)": "index out of range: 9",
    "'abc'.charAt(-1)": "index out of range: -1",
    "'abc'.substring(5)": "index out of range: 5",
    "'abc'.substring(2, 1)": "invalid substring range. start: 2, end: 1",
    "'abc'.indexOf('a', -1)": "index out of range: -1",
    "'%d'.format([dyn('x')])": "error during formatting: decimal clause can only be used on integers, "
    "was given string",
    "'%s %s'.format(dyn([1]))": "index 1 out of range",
    "'%'.format(dyn([]))": "index 0 out of range",
    "'%'.format(dyn([1]))": "unexpected end of string",
    "'%q'.format(dyn([1]))": 'could not parse formatting clause: unrecognized formatting clause "q"',
    "'%.f'.format(dyn([1]))": "could not parse formatting clause: error while parsing precision: "
    'error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax',
    "'%s'.format([dyn(optional.of(1))])": "error during formatting: string clause can only be used on "
    "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, "
    "was given optional_type",
    "[].min()": "min called on empty list",
    "d.map(x, x).max()": "max called on empty list",
    "'a'.find('(' + '')": "Illegal regex: error parsing regexp: missing closing ): `(`",
    "url('../a')": 'URL parse error during conversion from string: parse "../a": invalid URI for request',
    "url('https://a:b:c/')": 'URL parse error during conversion from string: parse "https://a:b:c/": '
    'invalid port ":c" after host',
    "ip('127.0.0.256')": 'IP Address "127.0.0.256" parse error during conversion from string: '
    'ParseAddr("127.0.0.256"): IPv4 field has value >255',
    "ip('::ffff:1.2.3.4')": 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed',
    "ip('fe80::1%a')": 'IP address "fe80::1%a" with zone value is not allowed',
    "cidr('1.2.3.4')": "network address parse error during conversion from string: network address parse "
    "error during conversion from string: netip.ParsePrefix(\"1.2.3.4\"): no '/'",
    "quantity('Three')": "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    "quantity('0.5').asInteger()": "cannot convert value to integer",
    "semver('1')": "No Major.Minor.Patch elements found",
    "semver('1.0-a', true)": "short version cannot contain PreRelease/Build meta data",
}


@pytest.mark.parametrize("expression", GIVES)
def test_gives(expression: str) -> None:
    found = ENVIRONMENT.compile(expression).evaluate({"d": []})
    assert equals(found, GIVES[expression]), found


@pytest.mark.parametrize("expression", FAILS)
def test_fails(expression: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(expression).evaluate({"d": []})
    assert str(caught.value) == FAILS[expression]


ASKED = AccessCheck(verb="create", group="apps", resource="deployments", namespace="ns", name="web")
CHECKS: dict[str, tuple[AccessCheck, Any]] = {
    "authorizer.group('apps').resource('deployments').namespace('ns').name('web')"
    ".check('create').allowed()": (ASKED, True),
    "authorizer.group('').resource('pods').subresource('status').check('get').reason()": (
        AccessCheck(verb="get", resource="pods", subresource="status"),
        "because",
    ),
    "authorizer.path('/healthz').check('get').errored()": (AccessCheck(verb="get", path="/healthz"), False),
    "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('list').error()": (
        AccessCheck(verb="list", resource="pods", service_account=("ns", "sa")),
        "",
    ),
    "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c').check('list').allowed()": (
        AccessCheck(verb="list", resource="pods", field_selector="a=b", label_selector="c"),
        True,
    ),
    "authorizer.requestResource.check('delete').allowed()": (
        AccessCheck(verb="delete", resource="own"),
        True,
    ),
}


@pytest.mark.parametrize("expression", CHECKS)
def test_authorization_is_asked_of_the_activation(expression: str) -> None:
    asked: list[AccessCheck] = []

    def decide(access: AccessCheck) -> Decision:
        asked.append(access)
        return Decision(True, "because")

    environment = Environment({"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK})
    budget = Budget()
    own = resource_check(decide, AccessCheck(resource="own"))
    activation = {"authorizer": Authorizer(decide), "authorizer.requestResource": own}
    wanted, value = CHECKS[expression]
    assert environment.compile(expression).evaluate(activation, budget) == value
    assert asked == [wanted]
    assert budget.last > 350_000


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('Bad', 'sa')", "Invalid service account namespace"),
        ("authorizer.serviceAccount('ns', 'not@valid')", "Invalid service account name"),
    ],
)
def test_authorization_checks_its_arguments(expression: str, fault: str) -> None:
    def decide(access: AccessCheck) -> Decision:
        raise AssertionError(access)

    with pytest.raises(EvaluationError, match=fault):
        Environment({"authorizer": AUTHORIZER}).compile(expression).evaluate(
            {"authorizer": Authorizer(decide)}
        )


def test_bindings_are_for_those_who_have_them() -> None:
    expression = "cel.bind(x, 2 + 3, x * x) + cel.bind(y, 1, y)"
    assert Environment({}, WITH_BINDINGS).compile(expression).evaluate({}) == 26
    with pytest.raises(CompileError, match="undeclared reference to 'cel'"):
        Environment({}).compile(expression)


@pytest.mark.parametrize(
    "expression", ["'a'.reverse()", "math.greatest(1, 2)", "[1].includes(1)", "lists.range(3)"]
)
def test_what_the_api_does_not_have(expression: str) -> None:
    with pytest.raises(CompileError, match="undeclared reference"):
        ENVIRONMENT.compile(expression)


def test_the_sign_of_a_quantity_is_asked_by_a_function() -> None:
    fault = "found no matching overload for 'sign' applied to 'kubernetes.Quantity.()'"
    with pytest.raises(CompileError, match=re.escape(fault)):
        ENVIRONMENT.compile("quantity('1').sign()")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "unable to parse IP"),
        ("a%b", "missing IPv6 address"),
        ("1.2.3", "IPv4 address too short"),
        ("1.2.3.4.5", "IPv4 address too long"),
        ("1.2.03.4", "IPv4 field has octet with leading zero"),
        ("1.2..4", 'IPv4 field must have at least one digit (at ".4")'),
        ("1.2.3.", 'IPv4 field must have at least one digit (at ".")'),
        ("1.2.x.4", 'unexpected character (at "x.4")'),
        ("2001:db8:::68", 'each colon-separated field must have at least one digit (at ":68")'),
        ("12345::", 'each group must have 4 or less digits (at "12345::")'),
        ("1::2::3", 'multiple :: in address (at ":3")'),
        ("1:2:3:4:5:6:7", "address string too short"),
        ("1:2:3:4:5:6:7:8:9", 'trailing garbage after address (at "9")'),
        ("1:2:3:4::5:6:7:8", "the :: must expand to at least one field of zeros"),
        ("1:2:", 'colon must be followed by more characters (at ":")'),
        ("1:2g::", 'unexpected character, want colon (at "g::")'),
        ("1:2.3.4.5", 'embedded IPv4 address must replace the final 2 fields of the address (at "2.3.4.5")'),
        ("::1.2.3.256", "IPv4 field has value >255"),
        ("fe80::1%", "zone must be a non-empty string"),
    ],
)
def test_why_a_text_is_no_address(text: str, fault: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(f"ip(dyn('{text}'))").evaluate({})
    lead = f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): '
    assert str(caught.value) == lead + fault
