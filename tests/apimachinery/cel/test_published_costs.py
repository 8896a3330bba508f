"""What calls of every library are estimated to cost and do cost: the API's published figures.

Constants are made once, when an expression is compiled: they are in the estimates, not in what a run costs.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.cel import WITH_PATCHES, Budget, Environment
from tiphys.apimachinery.cel.library.authorizers import AUTHORIZER, Authorizer, Decision

INTS, UINTS = "[1, 2, 3, 4, 5]", "[uint(1), uint(2), uint(3), uint(4), uint(5)]"
DOUBLES, BOOLS = "[1.0, 2.0, 3.0, 4.0, 5.0]", "[false, true, false, true, false]"
STRINGS = "['012345678901', '012345678901', '012345678901', '012345678901', '012345678901']"
BYTES = "[" + ", ".join(["bytes('012345678901')"] * 5) + "]"
DURATIONS = "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')]"
TIMES = "[" + ", ".join(f"timestamp('2011-01-0{day}T00:00:00.000+01:00')" for day in range(1, 6)) + "]"
LONG = "'01234567890123456789012345678901234567890123456789'"
SELECTOR = "spec.nodeName=example-node-name.fully.qualified.domain.name.example.com"
RESOURCE = (
    "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')"
)

Figures = tuple[int, int, int]
"""The least and the most that is estimated, and what a run costs."""
_HUGE = 2**60
"""More than that is estimated for texts of unknown length."""


def same(cost: int, constants: int = 0) -> Figures:
    return cost, cost, cost - constants


def each(expressions: list[str], figures: Figures) -> dict[str, Figures]:
    return dict.fromkeys(expressions, figures)


def lists() -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for items, figures in {
        INTS: same(15, 10), UINTS: same(20, 15), DOUBLES: same(15, 10), BOOLS: same(15, 10),
        STRINGS: (15, _HUGE, 5), BYTES: (25, _HUGE, 5), DURATIONS: same(20, 15), TIMES: same(20, 15),
    }.items():  # fmt: skip
        found |= each([f"{items}.{name}()" for name in ("isSorted", "max", "min")], figures)
    for items, cost in {INTS: 15, UINTS: 20, DOUBLES: 15, DURATIONS: 20}.items():
        found[f"{items}.sum()"] = (cost, cost, 5)
    for items, one, figures in (
        (INTS, "3", same(15, 10)), (UINTS, "uint(3)", same(21, 16)), (DOUBLES, "3.0", same(15, 10)),
        (BOOLS, "true", same(15, 10)), (STRINGS, "'x'", (15, _HUGE, 5)),
        (BYTES, "bytes('x')", (26, _HUGE, 5)), (DURATIONS, "duration('3s')", same(21, 16)),
        (TIMES, "timestamp('2011-01-03T00:00:00.000+01:00')", same(21, 16)), (LONG, "'123'", same(5)),
    ):  # fmt: skip
        found |= each([f"{items}.indexOf({one})", f"{items}.lastIndexOf({one})"], figures)
    return found


def addresses() -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for ip, base in (("ip('192.168.0.1')", 2), ("ip('2001:db8:3333:4444:5555:6666:7777:8888')", 4)):
        found[ip] = same(base)
        for name in (
            "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast",
            "isGlobalUnicast",
        ):  # fmt: skip
            found[f"{ip}.{name}()"] = same(base + 1)
        found[f"{ip} == ip('192.168.0.1')"] = same(base + 3)
    for cidr in ("cidr('192.168.0.0/16')", "cidr('2001:db8::/32')"):
        found[cidr] = same(2)
        found |= each([f"{cidr}.{name}()" for name in ("ip", "prefixLength", "masked")], same(3))
        found[f"{cidr} == cidr('2001:db8::/32')"] = same(5)
    four, six = "cidr('192.168.0.0/16')", "cidr('2001:db8::/32')"
    for one in ("cidr('192.0.0.0/30')", "cidr('192.168.0.0/16')", "'192.0.0.0/30'", "'192.168.0.0/16'"):
        found[f"{four}.containsCIDR({one})"] = (7, 11, 7)
    for one in ("cidr('2001:db8::/126')", "cidr('2001:db8::/32')", "'2001:db8::/126'"):
        found[f"{six}.containsCIDR({one})"] = (7, 11, 7)
    found |= each([f"{four}.containsIP({one})" for one in ("ip('192.0.0.1')", "'192.0.0.1'")], (4, 7, 4))
    for one in ("ip('192.169.0.1')", "ip('192.169.169.250')", "'192.169.0.1'"):
        found[f"{four}.containsIP({one})"] = (5, 8, 5)
    found[f"{six}.containsIP('2001:db8::1')"] = (5, 8, 5)
    return found


TEXTS: dict[str, Figures] = {
    "'ABCDEFGHIJ abcdefghij'.lowerAscii()": same(3),
    "'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()": (7, 9, 9),
    "'ABCDEFGHIJ abcdefghij'.upperAscii()": same(3),
    "'ABCDEFGHIJ abcdefghij'.upperAscii() == 'abcdefghij ABCDEFGHIJ'.upperAscii()": (7, 9, 9),
    "strings.quote('ABCDEFGHIJ abcdefghij')": same(3),
    "strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')": (7, 11, 9),
    "'abc 123 def 123'.replace('123', '456')": same(3),
    "'abc 123 def 123'.replace('', 'x')": same(3),
    "'abc 123 def 123'.replace('123', '')": same(3),
    "'abc 123 def 123'.replace('123', '456', 1)": same(3),
    "'abc 123 def 123'.split(' ')": same(3),
    "'abc 123 def 123'.split(' ', 1)": same(3),
    "'abc 123 def 123'.substring(5)": same(2),
    "'abc 123 def 123'.substring(5, 8)": same(2),
    "'  abc 123 def 123  '.trim()": same(2),
    "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')": (11, _HUGE, 5),
    "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()": (10, _HUGE, 3),
    "'abc 123 def 123'.find('123')": same(2),
    "'abc 123 def 123'.findAll('123')": same(2),
    "'abc 123 def 123'.findAll('123', 1)": same(2),
    "jsonpatch.escapeKey('abc/def~ abc/def~')": same(2),
    **each(
        [
            f"url('https:://kubernetes.io/').{name}()"
            for name in ("getScheme", "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery")
        ],
        same(4),
    ),
    "url('https:://kubernetes.io/') == url('https:://kubernetes.io/')": (7, 9, 7),
    "url('https:://kubernetes.io/') == url('http://x.b')": same(5),
    "ip.isCanonical('192.168.0.1')": same(3),
    "ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')": same(8),
    "ip.isCanonical('2001:db8::abcd')": same(3),
}
RIGHTS: dict[str, Figures] = {
    "authorizer.path('/healthz')": same(2),
    RESOURCE: same(6),
    f"authorizer.group('').resource('pods').fieldSelector('{SELECTOR}')": same(1821),
    f"authorizer.group('').resource('pods').labelSelector('{SELECTOR}')": same(1821),
    "authorizer.path('/healthz').check('get').allowed()": same(350003),
    **each(
        [f"{RESOURCE}.check('create').{name}()" for name in ("allowed", "reason", "errored", "error")],
        same(350007),
    ),
}
NUMBERS: dict[str, Figures] = {
    'quantity("12Mi")': same(1),
    'isQuantity("20")': same(1),
    'quantity("200M") == quantity("200M")': same(3),
    'quantity("200M") == quantity("0.2G") && quantity("0.2G") == quantity("200M")': (3, 6, 6),
    'quantity("2M") == quantity("0.002G") && quantity("2000k") == quantity("2M") && '
    'quantity("0.002G") == quantity("2000k")': (3, 9, 9),
    'quantity("50M").isLessThan(quantity("50Mi"))': same(3),
    'quantity("50Mi").isGreaterThan(quantity("50M"))': same(3),
    'quantity("200M").compareTo(quantity("0.2G")) > 0': same(4),
    'quantity("50k").add(quantity("20")) == quantity("50.02k")': same(5),
    'quantity("50k").sub(quantity("20")) == quantity("49.98k")': same(5),
    'quantity("50k").sub(20) == quantity("49980")': same(4),
    'quantity("50k").add(20).sub(quantity("100k")).asInteger() > 0': same(6),
    'quantity("50k").add(20).sub(quantity("100k")).sub(-50000).asInteger() > 0': same(7),
    'quantity("50").isInteger()': same(2),
    'quantity("50.703k").asApproximateFloat() > 0.0': same(3),
    'format.named("dns1123subdomain")': same(1),
    'format.named("dns1123Subdomain").value().validate("my-name")': (34, 34, 17),
    'format.named("dns1123Label").value().validate("my-name")': (34, 34, 10),
    'format.named("dns1123Label").value() == format.named("dns1123Label").value()': (5, 11, 5),
    'semver("1.0.0")': same(1),
    'semver("1234.56789012345.67890123456789")': same(4),
    'isSemver("1.0.0")': same(1),
    'isSemver("1234.56789012345.67890123456789")': same(4),
    **each([f'semver("1.2.3").{name}()' for name in ("major", "minor", "patch")], same(2)),
    'semver("1.0.0").isLessThan(semver("1.1.0"))': same(3),
    'semver("1.1.0").isGreaterThan(semver("1.0.0"))': same(3),
    'semver("1.0.0").compareTo(semver("1.2.3"))': same(3),
}
SETS: dict[str, int] = {
    "sets.contains([], [])": 21,
    "sets.contains([1], [])": 21,
    "sets.contains([1], [1])": 22,
    "sets.contains([1], [1, 1])": 23,
    "sets.contains([2, 1], [1])": 23,
    "sets.contains([1, 2, 3, 4], [2, 3])": 29,
    "!sets.contains([1], [2])": 23,
    "sets.equivalent([], [])": 21,
    "sets.equivalent([1], [1])": 23,
    "sets.equivalent([1, 1], [1])": 25,
    "!sets.equivalent([2, 1], [1])": 26,
    "sets.intersects([1], [1])": 22,
    "sets.intersects([1], [1, 2])": 23,
    "!sets.intersects([], [])": 22,
    "sets.contains([1, 1], [1])": 23,
    "!sets.contains([1], [1, 2])": 24,
    "sets.equivalent([1], [1, 1])": 25,
    "!sets.equivalent([1], [1, 2])": 26,
    "sets.intersects([1], [1, 1])": 23,
    "sets.intersects([1, 1], [1])": 23,
    "sets.intersects([2, 1], [1])": 23,
    "!sets.intersects([1], [])": 22,
    "!sets.intersects([1], [2])": 23,
}
LOOPS: dict[str, Figures] = {
    "{'a': 1, 'b': 2}.all(k, v, v > 0)": (37, 41, 11),
    "{'a': 1, 'b': 2}.exists(k, v, v > 0)": (39, 43, 10),
    "{'a': 1, 'b': 2}.existsOne(k, v, v > 0)": (38, 40, 10),
    "{'a': 1, 'b': 2}.transformMap(k, v, v + 1)": same(71, 60),
    "{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)": (67, 75, 15),
    "{'a': 1, 'b': 2}.transformMapEntry(k, v, {k: v + 1})": same(131, 60),
    "{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})": (67, 135, 75),
    "[1, 2].all(i, v, v > 0)": (17, 21, 11),
    "[1, 2].exists(i, v, v > 0)": (19, 23, 10),
    "[1, 2].existsOne(i, v, v > 0)": (18, 20, 10),
    "[1, 2].transformList(i, v, v + 1)": same(49, 20),
    "[1, 2].transformList(i, v, v < 5, v + 1)": (27, 53, 33),
}
FIGURES: dict[str, Figures] = {
    **lists(), **addresses(), **TEXTS, **RIGHTS, **NUMBERS,
    **{expression: same(cost, 20) for expression, cost in SETS.items()}, **LOOPS,
}  # fmt: skip
ENVIRONMENT = Environment({"authorizer": AUTHORIZER}, WITH_PATCHES)


@pytest.mark.parametrize("expression", FIGURES)
def test_cost(expression: str) -> None:
    program, budget = ENVIRONMENT.compile(expression), Budget()
    values: dict[str, Any] = {"authorizer": Authorizer(lambda access: Decision(allowed=True))}
    program.evaluate(values, budget)
    estimate = program.cost_estimate()
    assert (estimate.least, min(estimate.most, _HUGE), budget.last) == FIGURES[expression]
