import pytest

from tiphys.apimachinery.intstr import scaled


@pytest.mark.parametrize(
    ("value", "total", "round_up", "expected"),
    [
        (3, 10, True, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("0%", 10, True, 0),
        ("100%", 7, False, 7),
        ("90%", 95, True, 86),
        ("90%", 95, False, 85),
        ("150%", 3, True, 5),
        ("-25%", 10, False, -3),
    ],
)
def test_scaled(value: int | str, total: int, round_up: bool, expected: int) -> None:
    assert scaled(value, total, round_up=round_up) == expected


@pytest.mark.parametrize("text", ["5", "x%", "%", "90#", "#%", "", "1.5%", "²%", f"{'9' * 5000}%"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="invalid value for IntOrString"):
        scaled(text, 1, round_up=True)
