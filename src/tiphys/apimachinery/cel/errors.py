"""What can go wrong with an expression, and how a fault in its text is shown.

CompileError            syntax, types; ``str`` is what the API prints after "compilation failed: "
  ResultTypeError       it compiles, to a value of another type than wanted
EvaluationError         a value could not be had (no such key, division by zero); ``||`` and ``&&`` absorb it
CostExceeded            the budget of one call is spent; nothing absorbs it
GivenUp                 within this package: reading a text ended at an offset
"""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass

MOST_SHOWN = 100
LONGEST_SHOWN_BYTES = 16_384
"""Longer lines are not shown."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault at an offset of the source; -1 where it has no place."""

    offset: int
    message: str


class CompileError(Exception):
    """The expression is no program."""

    def __init__(self, text: str, issues: tuple[Issue, ...] = ()) -> None:
        super().__init__(text)
        self.issues = issues

    def told(self) -> str:
        """Return the fault as the API tells it."""
        return f"compilation failed: {self}"


class ResultTypeError(CompileError):
    """The expression gives a value of another type than the caller needs."""

    def told(self) -> str:
        return str(self)


class InstantiationError(CompileError):
    """The expression is right, and there is no running it: a constant has no value, a type no name."""

    def told(self) -> str:
        return f"program instantiation failed: {self}"


class EvaluationError(Exception):
    """A run ended without a value."""


class CostExceeded(Exception):
    """A run cost more than it may."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class GivenUp(Exception):
    """Nothing after ``offset`` was looked at; ``message`` is about the whole text."""

    def __init__(self, offset: int, message: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Source:
    """The text of an expression; knows lines and how faults are pointed at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._issues: list[Issue] = []

    def report(self, offset: int, message: str) -> None:
        self._issues.append(Issue(offset, message))

    def report_once(self, offset: int, message: str) -> None:
        """Report what may have been reported already."""
        if Issue(offset, message) not in self._issues:
            self.report(offset, message)

    @property
    def syntax_errors(self) -> list[Issue]:
        return [issue for issue in self._issues if issue.message.startswith("Syntax error: ")]

    def keep(self, issues: list[Issue]) -> None:
        """Forget all but these."""
        self._issues = issues

    def give_up(self, end: GivenUp) -> None:
        """Forget what was reported after its offset, and what is told only of texts that are read whole."""
        self._issues = [issue for issue in self.syntax_errors if issue.offset <= end.offset]
        if end.message:
            self.report(-1, end.message)

    @property
    def failed(self) -> bool:
        return bool(self._issues)

    def raise_issues(self) -> None:
        """Raises CompileError when anything was reported."""
        if self._issues:
            issues = tuple(sorted(self._issues[:MOST_SHOWN], key=lambda issue: issue.offset))
            lines = [self._show(issue) for issue in issues]
            if len(self._issues) > MOST_SHOWN:
                lines.append(f"{len(self._issues) - MOST_SHOWN} more errors were truncated")
            raise CompileError("\n".join(lines), issues)

    def _show(self, issue: Issue) -> str:
        if issue.offset < 0:
            return f"ERROR: <input>:-1:0: {issue.message}"
        start = self.text.rfind("\n", 0, issue.offset) + 1
        line = self.text.count("\n", 0, start) + 1
        column = issue.offset - start
        shown, _, _ = self.text[start:].partition("\n")
        fault = f"ERROR: <input>:{line}:{column + 1}: {issue.message}"
        if len(shown.encode()) > LONGEST_SHOWN_BYTES:
            return fault
        shown = shown.replace("\t", " ")
        # Letters of more than one byte are taken to be twice as wide; so are the dots below them.
        dots = "".join("." if ord(letter) < 128 else "．" for letter in shown[:column])
        arrow = "^" if column >= len(shown) or ord(shown[column]) < 128 else "＾"
        return f"{fault}\n | {shown}\n | {dots}{arrow}"
