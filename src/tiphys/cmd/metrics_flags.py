"""Flags about what a component shows of its metrics: which families, and which values of their labels.

Owns: reading and refusing them with upstream's words. What is shown then is ``client.exposition``'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import yaml

from tiphys.apimachinery.release import RELEASE
from tiphys.client import exposition
from tiphys.cmd.component import FlagError

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_FULL_NAME: Final = re.compile(f"^{_NAME}$")
_KEY: Final = re.compile(f"{_NAME},[a-zA-Z_][a-zA-Z0-9_]*")
_FORM: Final = (
    "--allow-metric-labels must have a list of kv pair with format "
    "`metricName,labelName=labelValue, labelValue,...`"
)
_UNREAD: Final = "failed to read allow list manifest"
_UNPARSED: Final = "failed to parse allow list manifest"


class Pairs(click.ParamType[dict[str, str]]):
    """``key=value`` pairs as pflag reads them: commas part them only where there are several."""

    name = "pairs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        text = str(value)
        several = text.count("=") > 1
        pairs = _parts(text) if several else [text.strip('"')]
        for pair in pairs:
            if "=" not in pair:
                flag = param.opts[0] if param is not None else ""
                shown = pair if several else text
                raise FlagError(
                    f'invalid argument "{text}" for "{flag}" flag: {shown} must be formatted as key=value'
                )
        return dict(pair.split("=", 1) for pair in pairs)


def _parts(text: str) -> list[str]:
    import csv  # seldom needed

    return next(csv.reader([text]), [])


def metrics_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags; ``apply_metrics`` takes them out of the command's keywords."""
    for flag in (
        click.option("--disabled-metrics", default="", help="Families not to show, by commas."),
        click.option("--show-hidden-metrics-for-version", default="", help="The last minor version or none."),
        click.option(
            "--allow-metric-labels",
            type=Pairs(),
            multiple=True,
            help="METRIC,LABEL=VALUE,...: whatever else the label has is shown as unexpected.",
        ),
        click.option("--allow-metric-labels-manifest", default="", help="The same as a YAML file of pairs."),
    ):
        command = flag(command)
    return command


def metric_faults(flags: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the flags, in upstream's words."""
    major, minor, _ = RELEASE.removeprefix("v").split(".")
    before = f"{major}.{int(minor) - 1}"
    if flags["show_hidden_metrics_for_version"] not in ("", before):
        yield (
            f"--show-hidden-metrics-for-version must be omitted or have the value '{before}'. "
            "Only the previous minor version is allowed"
        )
    for name in _names(flags):
        if not _FULL_NAME.match(name):
            yield (
                f'--disabled-metrics must be fully qualified metric names matching "{_FULL_NAME.pattern}", '
                f'got "{name}"'
            )
            break
    if not _keys_fit(_pairs(flags)):
        yield _FORM
    manifest = flags["allow_metric_labels_manifest"]
    if manifest:
        try:
            if not _keys_fit(_manifest(manifest)):
                yield f"invalid allow list mapping in manifest: {_FORM}"
        except ManifestError as error:
            yield str(error)


def apply_metrics(flags: dict[str, Any]) -> None:
    """Let the process show its metrics as the flags say, and take them away. Raises FlagError."""
    faults = list(metric_faults(flags))
    if faults:
        raise FlagError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    pairs, manifest = _pairs(flags), flags["allow_metric_labels_manifest"]
    if not pairs and manifest:
        pairs = _manifest(manifest)
    allowed: dict[str, dict[str, frozenset[str]]] = {}
    for key, values in pairs.items():
        metric, label = key.split(",")
        allowed.setdefault(metric, {})[label] = frozenset(values.split(","))
    exposition.disable(_names(flags))
    exposition.constrain(allowed)
    exposition.show_hidden(shown=bool(flags["show_hidden_metrics_for_version"]))
    for name in (
        "disabled_metrics", "show_hidden_metrics_for_version", "allow_metric_labels",
        "allow_metric_labels_manifest",
    ):  # fmt: skip
        del flags[name]


class ManifestError(ValueError):
    """A file of allowed labels that cannot be read. Its text is upstream's."""


def _names(flags: Mapping[str, Any]) -> list[str]:
    return flags["disabled_metrics"].split(",") if flags["disabled_metrics"] else []


def _pairs(flags: Mapping[str, Any]) -> dict[str, str]:
    return {key: values for given in flags["allow_metric_labels"] for key, values in given.items()}


def _keys_fit(pairs: Mapping[str, str]) -> bool:
    return all(_KEY.fullmatch(key) for key in pairs)


def _manifest(path: str) -> dict[str, str]:
    """Return the pairs of a file. Raises ManifestError."""
    try:
        read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{_UNREAD}: open {path}: {(error.strerror or '').lower()}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{_UNPARSED}: yaml: {error}") from error
    if read is None:
        return {}
    if not isinstance(read, dict) or any(isinstance(one, dict | list) for one in read.values()):
        raise ManifestError(
            f"{_UNPARSED}: yaml: unmarshal errors:\n  cannot unmarshal into map[string]string"
        )
    return {str(key): "" if values is None else str(values) for key, values in read.items()}
