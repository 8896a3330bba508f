"""``IntOrString``: a count, or a share of a total such as ``25%``. Arithmetic for rollouts and budgets."""

from __future__ import annotations

from tiphys.apimachinery.atoi import atoi, atoi_fault


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """Return the count that ``value`` means: itself, or that percentage of ``total`` rounded as told.

    Raises:
        ValueError: the text is no percentage.
    """
    if isinstance(value, int):
        return value
    percent = percent_of(value)
    product = percent * total
    return -(-product // 100) if round_up else product // 100


def percent_of(value: str) -> int:
    """Read ``25%`` as 25.

    Raises:
        ValueError: the text is no percentage.
    """
    if not value.endswith("%"):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    digits = value[:-1]
    number = atoi(digits)
    if number is None:
        raise ValueError(f'invalid value for IntOrString: invalid value "{value}": {atoi_fault(digits)}')
    return number
