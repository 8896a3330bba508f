# ruff: noqa: E501
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import quantity

CANONICAL = [
    ("0", "0"), ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1500Mi", "1500Mi"), ("1.5Gi", "1536Mi"),
    ("100Ki", "100Ki"), ("1000k", "1M"), ("1e3", "1e3"), ("12E2", "1200"), ("1E", "1E"), ("10e-1", "1"),
    ("0.1n", "1n"), ("-1.5", "-1500m"), ("+1.5", "1500m"), ("1023Ki", "1023Ki"), ("512", "512"), ("0.5Ki", "512"),
    ("0.001Ki", "1024m"), ("1.1Ki", "1126400m"), ("1.0", "1"), (".5", "500m"), ("001000", "1k"),
    ("1e6", "1e6"), ("1000E", "1e21"), ("5000E", "5e21"), ("-1000000E", "-1e24"), ("1234567M", "1234567M"),
    (".001e12", "1e9"), ("1000e-12", "1e-9"), ("80e-3", "80e-3"), ("00", "0"), ("1025024Mi", "1001Gi"),
    (".000000001Ki", "1024n"), (".000000000001Ki", "2n"), ("0.00000012345", "124n"), (".", "0"), ("-.", "0"),
    ("9Ei", "9223372036854775807"), ("100.0350k", "100035"), ("1.53E12", "1530e9"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_canonical(text: str, expected: str) -> None:
    assert quantity.canonical(text) == expected


KEPT = [
    "+2", "1.", "00100", "1.500", "+1.500", "-1.500", "0001Ki", "+1Ki", "-1028Ki", "1E3", "1e+3", "1e03", "1.G",
    "1.234k", "100.035k", "1.25E2", "1e0", "+99999999Mi", "1.Ti", "1000001n", "123456789012345678", "9999999Mi", "12.345678E6",
]  # fmt: skip
REWRITTEN = [
    ("1.000", "1"), ("1.5000", "1500m"), ("+1000", "1k"), ("0.500", "500m"), ("+8Ki", "8Ki"), ("1032Ki", "1032Ki"),
    ("+1032Ki", "1032Ki"), ("+1Pi", "1Pi"), ("+999999999Mi", "999999999Mi"), ("1.Pi", "1Pi"), ("+1.5Ki", "1536"),
    ("+1234567890123456789", "1234567890123456789"), ("1E2", "100"), ("1e+4", "10e3"), ("+1e-12", "1e-9"), ("+0", "0"),
    ("1.25E1", "12500e-3"), ("-.484785E-7466", "-1e-9"),
]  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_what_looks_canonical_stays_as_it_is(text: str) -> None:
    assert quantity.canonical(text) == text


@pytest.mark.parametrize(("text", "expected"), REWRITTEN)
def test_what_does_not_is_rewritten(text: str, expected: str) -> None:
    assert quantity.canonical(text) == expected
    assert quantity.canonical(expected) == expected


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


D, B, E = quantity.DECIMAL_SI, quantity.BINARY_SI, quantity.DECIMAL_EXPONENT
PARSED: dict[str, tuple[int, int, str]] = {
    "0Ki": (0, 0, B), "0m": (0, 0, D), "3Ei": (3 * 2**60, 0, B), "100Ti": (100 * 2**40, 0, B),
    "5n": (5, -9, D),
    "4u": (4, -6, D), "50k": (5, 4, D), "40T": (4, 13, D), "1E": (1, 18, D), "1E-3": (1, -3, E),
    "1E6": (1, 6, E),
    "1e14": (1, 14, E), "100.035k": (100035, 0, D), "0.0005k": (5, -1, D), "0.05000": (5, -2, D), "0.5e0": (5, -1, E),
    "0.5e-2": (5, -3, E), "10.035M": (10035, 3, D), "1.3E+6": (13, 5, E), "1.53E12": (153, 10, E),
    "1.7E18": (17, 17, E),
    "6.987654321G": (6987654321, 0, D), "5.444T": (5444, 9, D), "1.01E": (101, 16, D), "3.001n": (4, -9, D),
    "1.1E-9": (2, -9, E), "0.0000000001": (1, -9, D), "0.5e-9": (1, -9, E), "0.00000012354": (124, -9, D),
    "9Ei": (2**63 - 1, 0, B), "9223372036854775807Ki": (2**63 - 1, 0, B), "12E": (12, 18, D),
    "100.035Ki": (10243584, -2, B), "0.5Mi": (2**19, 0, B), "0.05Gi": (536870912, -1, B),
    "0.025Ti": (274877906944, -1, B), "0.000000000001Ki": (2, -9, D), ".001": (1, -3, D), ".0001k": (100, -3, D),
    "1.": (1, 0, D), "1.G": (1, 9, D),
}  # fmt: skip


@pytest.mark.parametrize("text", PARSED)
@pytest.mark.parametrize("sign", ["", "+", "-"])
def test_amounts_and_families(text: str, sign: str) -> None:
    mantissa, exponent, family = PARSED[text]
    found = quantity.parse(sign + text)
    assert found.amount == Fraction(mantissa) * Fraction(10) ** exponent * (-1 if sign == "-" else 1)
    assert found.format == family


@pytest.mark.parametrize(
    "text",
    [
        "1.1.M",
        "1+1.0M",
        "0.1mi",
        "0.1am",
        "aoeu",
        ".5i",
        "1i",
        "-3.01i",
        "-3.01e-",
        "1e4294967297",
        " 1",
        "1 ",
        "e3x",
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["100m", "1Gi"])
def test_nothing_added_or_taken_leaves_the_suffix(text: str) -> None:
    zero, value = quantity.parse("0"), quantity.parse(text)
    assert str(value + zero) == str(zero + value) == str(value - zero) == text
    assert str(zero - value) == f"-{text}"


@pytest.mark.parametrize("read", [quantity.parse, quantity.canonical], ids=["parse", "canonical"])
def test_texts_of_any_length_are_not_remembered(read: Callable[[str], object]) -> None:
    """An exponent may have any number of zeros in front."""
    short, long = "1000e9", f"1000e{'0' * 5_000}9"
    assert read(short) == read(long)
    assert read(short) is read(short)
    assert read(long) is not read(long)
