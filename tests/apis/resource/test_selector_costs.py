"""What selectors of devices are estimated to cost, and which are none."""

from __future__ import annotations

import pytest

from tiphys.apimachinery import featuregates
from tiphys.apimachinery.cel import CompileError, EvaluationError
from tiphys.apis.resource.selectors import compile_selector, selector_faults

_OF = 'device.attributes["dra.example.com"]'
_HAS = 'device.capacity["dra.example.com"]'
_TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
_ALL = " && ".join((
    f'{_HAS}.quantity.isGreaterThan(quantity("1Ki"))',
    f"{_OF}.bool",
    f"{_OF}.int > 0",
    f'{_OF}.string == "fish"',
    f'{_OF}.version.isGreaterThan(semver("0.0.1"))',
    f'{_HAS}["quantity"].isGreaterThan(quantity("1Ki"))',
    f'{_OF}["bool"]',
    f'{_OF}["int"] > 0',
    f'{_OF}["string"] == "fish"',
    f'{_OF}["version"].isGreaterThan(semver("0.0.1"))',
))  # fmt: skip
_NESTED = "".join(f"{_TEN}.all({name}, " for name in ("x", "y", "z", "z2", "z3", "z4", "z5"))

COSTS: dict[str, int] = {
    "true": 0,
    'device.attributes["no-such-domain"].noSuchAttr.isGreaterThan(quantity("0"))': 6,
    'device.attributes["no-such-domain"]["noSuchAttr"].isGreaterThan(quantity("0"))': 6,
    '"no-such-domain" in device.attributes': 3,
    'device.driver == ""': 2,
    'device.driver == "dra.example.com"': 4,
    f"{_OF}.name": 4,
    f'{_OF}["name"]': 4,
    f"cel.bind(dra, {_OF}, dra.name)": 15,
    f"{_OF}.name > 0": 5,
    f'{_OF}.name == "fish"': 5,
    f"{_OF}.names.size() == 2": 6,
    f"1 in {_OF}.names": 4 + 64,
    f'{_OF}.name.isGreaterThan(semver("0.0.1"))': 6,
    f'{_OF}.name.isGreaterThan(semver("v0.0.1", true)) && isSemver("v1.0.0", true)': 7,
    f'{_HAS}.name.isGreaterThan(quantity("1Ki"))': 6,
    f'"name" in {_HAS} && {_HAS}.name.isGreaterThan(quantity("1Ki"))': 10,
    f'!("name" in {_HAS}) || {_HAS}.name.isGreaterThan(quantity("1Ki"))': 11,
    _ALL: 52,
    f"{_OF}.a && {_OF}.b && {_OF}.c": 12,
    'device.attributes.exists_one(x, x == "dra.example.com")': 164,
    f'{_OF}.exists_one(x, x == "services")': 133,
    f'{_OF}.services.split("example").size() >= 2': 19,
    f'{_OF}.services.matches("[^a]?sym")': 18,
    'device.capacity.exists_one(x, x == "dra.example.com")': 164,
    f'{_HAS}.exists_one(x, x == "memory")': 133,
    f"{_NESTED}int('1'.find('[0-9]*')) < 100{')' * 7}": 85555551,
    "device.allowMultipleAllocations == true": 3,
}


@pytest.mark.parametrize("expression", COSTS)
def test_estimated_cost(expression: str) -> None:
    assert compile_selector(expression).cost_estimate().most == COSTS[expression]


WITH_LISTS: dict[str, int] = {
    f"{_OF}.name.exists(x, x > 0)": 5 + 6 * 64,
    f'{_OF}.names.all(x, x != "")': 5 + 4 * 64,
    f'{_OF}.names.all(x, x.isGreaterThan(semver("0.0.1")))': 5 + 6 * 64,
    f'{_OF}.name.exists(x, x.isGreaterThan(semver("0.0.1")))': 5 + 7 * 64,
    f"{_OF}.names.size() == 2": 6,
    f"1 in {_OF}.names": 4 + 64,
    f"{_OF}.names.includes('a')": 4 + 48,
    f"{_OF}.flag": 4,
}


@pytest.mark.parametrize("expression", WITH_LISTS)
def test_estimated_cost_where_attributes_may_be_lists(expression: str) -> None:
    assert compile_selector(expression, lists=True).cost_estimate().most == WITH_LISTS[expression]


REFUSED: dict[str, str] = {
    "1": "must evaluate to bool or the unknown type, not int",
    "dyn(true)": "must evaluate to bool or the unknown type, not dyn",
    "device.driver": "must evaluate to bool or the unknown type, not string",
    "?!": "compilation failed: ERROR: <input>:1:1: Syntax error: ",
    f"{_OF}.names.exists(x, x > 0)": "compilation failed: ERROR: <input>:1:37: expression of type 'any' "
    "cannot be range of a comprehension (must be list, map, or dynamic)",
    f"{_OF}.names.includes(1)": "compilation failed: ERROR: <input>:1:52: undeclared reference to 'includes'",
    "int('x') == 1": "program instantiation failed: type conversion error from 'string' to 'int'",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_is_refused(expression: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_selector(expression)
    assert caught.value.told().startswith(REFUSED[expression])


@pytest.mark.parametrize("on", [False, True])
def test_lists_are_gone_through_if_there_may_be_any(on: bool) -> None:
    """The servers decide by the gate whether there may."""
    selectors = [{"cel": {"expression": f"{_OF}.names.exists(x, x > 0) || dyn(true)"}}]
    with featuregates.using(featuregates.resolve({"DRAListTypeAttributes": on})):
        assert (selector_faults({"selectors": selectors}, "spec.selectors") == []) is on


def included(held: str, wanted: str) -> object:
    return compile_selector(f"dyn({held}).includes({wanted})", lists=True).evaluate({})


def test_what_an_attribute_includes() -> None:
    assert included("[1, 2]", "2") is True
    assert included("[1, 2]", "2.0") is True
    assert included("[1, 2]", "'2'") is False
    assert included("'a'", "'a'") is True
    assert included("'a'", "1") is False
    many = f"[{', '.join(map(str, range(49)))}]"
    assert included(many, "47") is True
    text = "'includes' function cannot be applied to lists longer than 48 values"
    with pytest.raises(EvaluationError, match=text):
        included(many, "48")
