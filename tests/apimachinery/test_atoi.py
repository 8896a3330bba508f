import pytest

from tiphys.apimachinery.atoi import atoi, atoi_fault

NUMBERS = {
    "0": 0, "-1": -1, "+7": 7, "007": 7, "0" * 5000 + "3": 3,
    str((1 << 63) - 1): (1 << 63) - 1, str(-(1 << 63)): -(1 << 63),
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_reads(text: str) -> None:
    assert atoi(text) == NUMBERS[text]


@pytest.mark.parametrize("text", ["", "-", "1_000", " 1", "1.0", "²", "٣", "--1", "0x1"])
def test_no_number(text: str) -> None:
    assert atoi(text) is None
    assert atoi_fault(text) == f'strconv.Atoi: parsing "{text}": invalid syntax'


@pytest.mark.parametrize("text", [str(1 << 63), str(-(1 << 63) - 1), "9" * 5000])
def test_out_of_range(text: str) -> None:
    assert atoi(text) is None
    assert atoi_fault(text) == f'strconv.Atoi: parsing "{text}": value out of range'
