"""What is told at which verbosity."""

from __future__ import annotations

from tiphys.apimachinery import verbosity


def test_levels_and_modules() -> None:
    assert verbosity.tells(0)
    assert not verbosity.tells(1)
    verbosity.ask(3, [("http*", 1), ("trace", 4), ("t*", 0)])
    told = [(level, module) for module in ("", "httplog", "trace", "other") for level in (2, 4)
            if verbosity.tells(level, module)]  # fmt: skip
    assert told == [(2, ""), (2, "trace"), (4, "trace"), (2, "other")]
