"""Findings as people read them, and as programs do."""

from __future__ import annotations

import itertools
import textwrap
from typing import Any

from tiphys.ctl.why.scene import Finding

WIDTH = 110


def render(summary: str, findings: list[Finding], unread: tuple[str, ...] = ()) -> str:
    """Write the answer; the most telling finding is the first."""
    lines = [summary, ""]
    if not findings:
        lines.append("  Nothing is wrong with it, as far as the API tells.")
    for number, finding in enumerate(findings, start=1):
        if number > 1:
            lines.append("")
        lines += textwrap.wrap(
            finding.cause,
            WIDTH,
            initial_indent=f"  {number}. ",
            subsequent_indent="     ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in finding.evidence:
            lines += textwrap.wrap(
                item,
                WIDTH,
                initial_indent="     · ",
                subsequent_indent="       ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        lines += [f"       {line}".rstrip() for line in _table(finding.table)]
        if finding.try_next:
            lines.append(f"     → {finding.try_next}")
    if unread:
        lines += ["", *(f"  not looked at: {each}" for each in unread)]
    return "\n".join(lines) + "\n"


def _table(rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """Align the columns of each block; an empty row parts two blocks."""
    lines: list[str] = []
    for filled, group in itertools.groupby(rows, key=any):
        block = list(group)
        if filled:
            widths = [max(map(len, column)) for column in zip(*block, strict=True)]
            lines += ["   ".join(map(str.ljust, row, widths)).rstrip() for row in block]
        else:
            lines.append("")
    return lines


def as_data(summary: str, findings: list[Finding], unread: tuple[str, ...] = ()) -> dict[str, Any]:
    """The same for programs."""
    return {
        "object": summary,
        "findings": [
            {
                "cause": item.cause,
                "evidence": list(item.evidence),
                "tryNext": item.try_next,
                "table": [list(row) for row in item.table],
            }
            for item in findings
        ],
        "notLookedAt": list(unread),
    }
