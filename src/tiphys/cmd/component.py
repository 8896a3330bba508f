"""A command that takes an upstream component's command line: its flags, their forms, its refusals.

Owns: reading flags as Go's pflag does (``--a=b``, ``--a b``, bare booleans, ``_`` for ``-``, lists given
several times) and what happens to upstream's flags that mean nothing here: they are checked, told in a line,
and left out. Flags of which a component makes something are its own click options.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.go_text import BOOLS, bool_fault
from tiphys.apimachinery.release import RELEASE
from tiphys.apimachinery.verbosity import Pattern
from tiphys.cmd import duration, log_lines
from tiphys.cmd.upstream_flags import flags_of, why_idle

log = logging.getLogger(__name__)
_JOINED = ("list", "ints", "map")
_META = "tiphys.cmd.component"


_SECRET = ("token", "password")
"""How the names of flags end whose values nobody is shown."""


class FlagError(click.UsageError):
    """A flag that upstream would refuse, with its words and its exit code."""

    exit_code = 1


class Ended(click.ClickException):
    """A component that has to end: a line in its log, not a trace of how it got there."""

    def show(self, file: Any = None) -> None:
        log.error("%s", self.message)


class Component(click.Command):
    """``upstream`` names the component whose flags are taken.

    ``configuration`` gets the values of ``--config`` and ``--config-dir``; flags beat what it returns.
    """

    def __init__(
        self,
        name: str | None,
        *,
        upstream: str,
        configuration: Callable[..., Mapping[str, Any]] | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(name, **attributes)
        self.upstream = upstream
        self.flags = flags_of(upstream)
        self._configuration = configuration

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line as pflag would, hand click its part."""
        line = _Line(self, ctx)
        words = line.read(args)
        ctx.meta[_META] = line
        files = [line.files.get(name, "") for name in ("config", "config-dir")]
        while files and not files[-1]:
            files.pop()
        if self._configuration is not None and files:
            ctx.default_map = {**(ctx.default_map or {}), **self._configuration(*files)}
        return super().parse_args(ctx, words)

    def check(self, args: Iterable[str]) -> None:
        """Raise click.UsageError for flags that this command has not, or for values that they do not take."""
        ctx = click.Context(self)
        self.make_parser(ctx).parse_args(_Line(self, ctx).read(args))

    def invoke(self, ctx: click.Context) -> Any:
        """Say what has no effect, then run."""
        line: _Line = ctx.meta[_META]
        try:
            log_lines.set_up(line.verbosity, line.log_format, line.patterns)
        except log_lines.LogFlagError as error:
            raise FlagError(str(error), ctx) from error
        for name in line.idle:
            why = why_idle(self.upstream, name)
            log.warning("flag --%s has no effect here%s", name, f": {why}" if why else "")
        try:
            return super().invoke(ctx)
        except TiphysError as error:
            from tiphys.client.leaderelection import LeadershipLost  # not every component knows elections

            if not isinstance(error, LeadershipLost):
                raise
            raise Ended(f"leader election lost: {error}") from error


class _Line:
    """One command line while it is read."""

    def __init__(self, command: Component, ctx: click.Context) -> None:
        self._command = command
        self._ctx = ctx
        self._own = {
            name.lstrip("-"): option
            for option in command.get_params(ctx)
            if isinstance(option, click.Option)
            for name in option.opts
            if name.startswith("--")
        }
        self._joined: dict[str, str] = {}
        self._words: list[str] = []
        self.idle: dict[str, str] = {}
        """Flags that were given and mean nothing here, with their values; lists are joined."""
        self.verbosity = 0
        self.log_format = "text"
        self.patterns: list[Pattern] = []
        self.files: dict[str, str] = {}
        """Configuration files that are named."""

    def read(self, args: Iterable[str]) -> list[str]:
        """Return the words that click is to parse. Raises FlagError."""
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                continue
            if not word.startswith("-") or word == "-":
                raise self._refused(f'"{self._command.upstream}" does not take any arguments, got ["{word}"]')
            if word.startswith("--"):
                self._long(word, rest)
            else:
                self._short(word, rest)
        return [*self._words, *(f"--{name}={value}" for name, value in self._joined.items())]

    def _short(self, word: str, rest: list[str]) -> None:
        letter, tail = word[1], word[2:]
        if letter == "h" and not tail:
            self._words.append("--help")
        elif letter == "v":
            if not tail and not rest:
                raise self._refused(f"flag needs an argument: 'v' in {word}")
            self._take("v", tail.removeprefix("=") if tail else rest.pop(0))
        else:
            raise self._refused(f"unknown shorthand flag: '{letter}' in {word}")

    def _long(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if name == "help":
            self._words.append("--help")
            return
        name = name.replace("_", "-")
        if name == "version":
            self._version(value)
            return
        if name not in self._own and name not in self._command.flags:
            raise self._refused(f"unknown flag: {word.partition('=')[0]}")
        if not equals:
            if self._is_bool(name):
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise self._refused(f"flag needs an argument: --{name}")
        self._take(name, value)

    def _take(self, name: str, value: str) -> None:
        kind = self._command.flags.get(name, "text")
        value = self._checked(name, kind, value)
        if name in ("config", "config-dir"):
            self.files[name] = value
        if name == "v":
            self.verbosity = int(value)
        elif name == "logging-format":
            self.log_format = value
        elif name == "vmodule":
            self.patterns = log_lines.read_patterns(value)
        elif name not in self._own:
            before = self.idle.get(name)
            self.idle[name] = value if before is None or kind not in _JOINED else f"{before},{value}"
        elif kind in _JOINED and not self._own[name].multiple:
            before = self._joined.get(name)
            self._joined[name] = value if before is None else f"{before},{value}"
        else:
            self._words.append(f"--{name}={value}")

    def logging(self) -> dict[str, str]:
        """Return how the log was asked for, by flag."""
        patterns = ",".join(f"{pattern}={level}" for pattern, level in self.patterns)
        return {"logging-format": self.log_format, "v": str(self.verbosity), "vmodule": patterns}

    def _is_bool(self, name: str) -> bool:
        own = self._own.get(name)
        return self._command.flags.get(name) == "bool" or (own is not None and own.type is click.BOOL)

    def _checked(self, name: str, kind: str, value: str) -> str:
        fault = _CHECKS[kind](value) if kind in _CHECKS else ""
        if fault:
            shown = "-v, --v" if name == "v" else f"--{name}"
            raise self._refused(f'invalid argument "{value}" for "{shown}" flag: {fault}')
        return str(BOOLS[value]).lower() if kind == "bool" else value

    def _version(self, value: str) -> None:
        if value == "raw":
            major, minor, patch = RELEASE.removeprefix("v").split(".")
            click.echo(
                f'version.Info{{Major:"{major}", Minor:"{minor}", GitVersion:"v{major}.{minor}.{patch}"}}'
            )
        else:
            click.echo(f"Kubernetes {RELEASE}")
        self._ctx.exit()

    def _refused(self, message: str) -> FlagError:
        return FlagError(message, self._ctx)


def idle_values() -> dict[str, str]:
    """Return what the running command was given for flags that mean nothing here: they may still be wrong."""
    ctx = click.get_current_context(silent=True)
    line: _Line | None = ctx.meta.get(_META) if ctx is not None else None
    return line.idle if line is not None else {}


def shown_flags() -> dict[str, str]:
    """Return the running command's flags as ``/flagz`` shows them: by name, secrets left out."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return {}
    times = {param.name for param in ctx.command.params if isinstance(param.type, duration.Duration)}
    line: _Line | None = ctx.meta.get(_META)
    lists = {
        name.replace("-", "_") for name, kind in getattr(ctx.command, "flags", {}).items() if kind == "list"
    }
    own = {
        name.replace("_", "-"): go_duration(value)
        if name in times and value is not None
        else f"[{value}]"
        if name in lists and isinstance(value, str)
        else _shown(name, value)
        for name, value in ctx.params.items()
    }
    return own if line is None else {**line.idle, **line.logging(), **own}


def _shown(name: str, value: Any) -> str:
    if name.endswith(_SECRET) and isinstance(value, str):
        return "<redacted>"
    if isinstance(value, tuple):
        return f"[{','.join(_shown(name, one) for one in value)}]"
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str("" if value is None else value)


def _number(name: str, read: Callable[[str], Any]) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            read(value)
        except ValueError:
            return f'strconv.{name}: parsing "{value}": invalid syntax'
        return ""

    return check


def _modules(value: str) -> str:
    try:
        log_lines.read_patterns(value)
    except log_lines.LogFlagError as error:
        return str(error)
    return ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "bool": bool_fault,
    "int": _number("ParseInt", lambda value: int(value, 0)),
    "float": _number("ParseFloat", float),
    "duration": duration.fault,
    "modules": _modules,
}
