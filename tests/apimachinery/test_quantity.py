from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import quantity

CANONICAL = [
    ("0", "0"), ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1500Mi", "1500Mi"), ("1.5Gi", "1536Mi"),
    ("100Ki", "100Ki"), ("1000k", "1M"), ("1e3", "1e3"), ("12E2", "1200"), ("1E", "1E"), ("1e0", "1"),
    ("0.1n", "1n"), ("-1.5", "-1500m"), ("+2", "2"), ("1023Ki", "1023Ki"), ("512", "512"), ("0.5Ki", "512"),
    ("0.001Ki", "1024m"), ("1.1Ki", "1126400m"), ("1.", "1"), (".5", "500m"), ("00100", "100"),
    ("1e6", "1e6"), ("1000E", "1e21"), ("5000E", "5e21"), ("-1000000E", "-1e24"), ("1234567M", "1234567M"),
    (".001e12", "1e9"), ("1000e-12", "1e-9"), ("80e-3", "80e-3"), ("00", "0"), ("1025024Mi", "1001Gi"),
    (".000000001Ki", "1024n"), (".000000000001Ki", "2n"), ("0.00000012345", "124n"), (".", "0"), ("-.", "0"),
    ("9Ei", "9223372036854775807"), ("100.035k", "100035"), ("1.53E12", "1530e9"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_canonical(text: str, expected: str) -> None:
    assert quantity.canonical(text) == expected


@pytest.mark.parametrize(
    "text", ["", "abc", "1x", "1Kii", "1 Gi", "1e", "--1", "1.2.3", "1mm", "1e99999", "9" * 5000]
)
def test_refuses(text: str) -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse(text)


def test_rounding_is_away_from_zero() -> None:
    assert quantity.parse("1500m").value() == 2
    assert quantity.parse("0.0001").milli() == 1
    assert quantity.parse("-1500m").value() == -2
    assert quantity.parse("100m").milli() == 100


def test_arithmetic_keeps_the_format() -> None:
    one, two = quantity.parse("1Gi"), quantity.parse("1024Mi")
    assert str(one + two) == "2Gi"
    assert str(one - two) == "0"
    assert str(quantity.total([one, quantity.parse("1G")])) == "2073741824"
    assert str(quantity.from_milli(1500)) == "1500m"
    assert quantity.parse("1Gi") > quantity.parse("1G")


@given(
    st.fractions(min_value=0, max_value=10**15), st.sampled_from(["DecimalSI", "BinarySI", "DecimalExponent"])
)
def test_text_is_exact(amount: Fraction, format_: str) -> None:
    exact = Fraction(int(amount * 10**9), 10**9)
    text = quantity.format_quantity(quantity.Quantity(exact, format_))
    assert quantity.parse(text).amount == exact
    assert quantity.canonical(text) == text


@given(st.text(alphabet="0123456789.eEinumkKMGTP+-", max_size=8))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        assert quantity.canonical(quantity.canonical(text)) == quantity.canonical(text)
    except quantity.QuantityError:
        pass


@pytest.mark.parametrize(
    ("amount", "text"),
    [(2**70, "1180591620717411303424"), (10**70, "10e69"), (10**72, "1e72"), (2000, "2000"), (1025, "1025")],
)
def test_binary_amounts_beyond_the_last_suffix(amount: int, text: str) -> None:
    assert str(quantity.from_value(amount, quantity.BINARY_SI)) == text
    assert str(quantity.from_value(-amount, quantity.BINARY_SI)) == f"-{text}"
    assert quantity.parse(text).amount == amount
