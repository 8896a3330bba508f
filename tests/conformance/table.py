"""Prints how many conformance behaviours of each area a test of ours shows, and which none does.

The tables next to this file name each behaviour by its codename and the test that shows it, or null.
Run by ``make conformance-table``; ``test_table`` checks that every named test exists.
"""

from __future__ import annotations

from pathlib import Path

import yaml

FOLDER = Path(__file__).parent


def read() -> dict[str, dict[str, str | None]]:
    """Return the tables by area: codename to test, or None."""
    return {
        path.stem: yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted(FOLDER.glob("*.yaml"))
    }


def render(tables: dict[str, dict[str, str | None]]) -> list[str]:
    """Return the lines to print."""
    lines = [f"{'area':<22}{'shown':>7}{'of':>6}"]
    for area, table in tables.items():
        shown = sum(test is not None for test in table.values())
        lines.append(f"{area:<22}{shown:>7}{len(table):>6}")
    for area, table in tables.items():
        missing = [name for name, test in table.items() if test is None]
        if missing:
            lines += ["", f"not shown in {area}:", *(f"  {name}" for name in missing)]
    return lines


if __name__ == "__main__":
    print("\n".join(render(read())))
