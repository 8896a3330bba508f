"""Completion indexes as batch/v1 writes them: ``1,3-5``. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.meta import Object

ANNOTATION = "batch.kubernetes.io/job-completion-index"


def parse(text: str) -> set[int]:
    """Read ``1,3-5``; parts that are no numbers are skipped."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), int(last or first) + 1))
    return found


def within(text: str, job: Object) -> set[int]:
    """Read those that a job still asks for: its number of completions may have been lowered."""
    completions = job["spec"].get("completions") or 0
    return {index for index in parse(text) if index < completions}


def render(found: Iterable[int]) -> str:
    """Write indexes sorted; runs of three and more (and pairs, as upstream does) as ranges or lists."""
    parts: list[str] = []
    ordered = sorted(found)
    start = 0
    for position in range(1, len(ordered) + 1):
        if position < len(ordered) and ordered[position] == ordered[position - 1] + 1:
            continue
        first, last = ordered[start], ordered[position - 1]
        if first == last:
            parts.append(str(first))
        elif last == first + 1:
            parts.append(f"{first},{last}")
        else:
            parts.append(f"{first}-{last}")
        start = position
    return ",".join(parts)


def of(pod: Object) -> int | None:
    """The index a pod works on."""
    text = (pod["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    return atoi(text)
