from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import labels
from tiphys.apimachinery.errors import BadRequest

MATCHES = [
    ("", {}, True),
    ("app=web", {"app": "web"}, True),
    ("app==web", {"app": "db"}, False),
    ("app", {"app": ""}, True),
    ("!app", {"app": ""}, False),
    ("!app", {}, True),
    ("app!=web", {}, True),
    ("app != web", {"app": "web"}, False),
    ("tier in (a, b)", {"tier": "b"}, True),
    ("tier in (a,b)", {}, False),
    ("tier notin (a,b)", {}, True),
    ("tier notin (a,b)", {"tier": "a"}, False),
    ("n>1", {"n": "2"}, True),
    ("n<1", {"n": "x"}, False),
    ("n<1", {}, False),
    ("a=b,c in (d),!e", {"a": "b", "c": "d"}, True),
    ("x in ()", {}, False),
    ("x in ()", {"x": ""}, True),
    ("x notin ( )", {"x": ""}, False),
    ("x in (,,)", {"x": ""}, True),
    ("x in (a,,b)", {"x": ""}, True),
    ("x notin (abc,def),bar,z in (),w", {"bar": "1", "z": "", "w": "2"}, True),
    ("x in (,a)", {"x": ""}, True),
    ("in in (in)", {"in": "in"}, True),
    ("a=", {"a": ""}, True),
]


@pytest.mark.parametrize(("text", "given", "expected"), MATCHES)
def test_matches(text: str, given: dict[str, str], expected: bool) -> None:
    assert labels.parse_selector(text).matches(given) is expected


ERRORS = [
    ("a,", "found '', expected: identifier after ','"),
    (",a", "found ',', expected: !, identifier, or 'end of string'"),
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("a in b", "unable to parse requirement: found 'b' expected: '('"),
    ("a=b c", "found 'c', expected: ',' or 'end of string'"),
    ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
    (
        "a>x",
        'unable to parse requirement: values[0]: Invalid value: "x": '
        "for 'Gt', 'Lt' operators, the value must be an integer",
    ),
    (
        "a=b@",
        'unable to parse requirement: values[0][a]: Invalid value: "b@": a valid label must be an empty'
        " string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
        " alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
        " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_error_texts(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        labels.parse_selector(text)
    assert caught.value.message == message


def test_label_selector_objects() -> None:
    assert not labels.from_label_selector(None).matches({})
    assert labels.from_label_selector({}).matches({"a": "b"})
    selector = labels.from_label_selector(
        {
            "matchLabels": {"a": "b"},
            "matchExpressions": [
                {"key": "c", "operator": "In", "values": ["x", "y"]},
                {"key": "d", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches({"a": "b", "c": "y"})
    assert not selector.matches({"a": "b", "c": "y", "d": ""})
    assert str(selector) == "a=b,c in (x,y),!d"
    assert selector.exact("a") == "b"
    with pytest.raises(BadRequest, match='"Is" is not a valid label selector operator'):
        labels.from_label_selector({"matchExpressions": [{"key": "c", "operator": "Is"}]})


def test_text_round_trip() -> None:
    text = "a=b,c in (d,e),!f,g,h>3"
    assert str(labels.parse_selector(text)) == text.replace("!f,g,h>3", "!f,g,h>3")
    assert labels.parse_selector(str(labels.parse_selector(text))) == labels.parse_selector(text)
    assert labels.format_labels({"b": "2", "a": "1"}) == "a=1,b=2"
    assert labels.from_set({"a": "1"}).matches({"a": "1", "b": "2"})


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "1", "2", "x"])
TERMS = st.one_of(
    st.builds("{}={}".format, KEYS, VALUES),
    st.builds("{}!={}".format, KEYS, VALUES),
    st.builds("{} in ({},{})".format, KEYS, VALUES, VALUES),
    st.builds("{} notin ({},{})".format, KEYS, VALUES, VALUES),
    st.builds("{}>{}".format, KEYS, st.sampled_from(["0", "1"])),
    st.builds("{}<{}".format, KEYS, st.sampled_from(["2", "3"])),
    KEYS,
    st.builds("!{}".format, KEYS),
)


@given(st.lists(TERMS, min_size=17, max_size=24), st.dictionaries(KEYS, VALUES))
def test_many_requirements_mean_what_each_of_them_does(terms: list[str], found: dict[str, str]) -> None:
    each = all(labels.parse_selector(term).matches(found) for term in terms)
    assert labels.parse_selector(",".join(terms)).matches(found) is each


def test_an_object_is_judged_by_its_own_labels() -> None:
    """With 100,000 requirements each event would otherwise take as many looks, for each of their watchers."""

    class Counted(dict[str, str]):
        looks = 0

        def get(self, *args: Any) -> Any:
            self.looks += 1
            return super().get(*args)

    selector = labels.parse_selector(",".join([*(f"a{n}!=b,a!=b{n},a" for n in range(2000))]))
    mine = Counted({"a": "c", "x": "y"})
    assert selector.matches(mine)
    assert mine.looks < 5
    assert not selector.matches({"a": "b7"})
    assert not selector.matches({"x": "y"})
