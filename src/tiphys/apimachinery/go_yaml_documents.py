"""Documents in YAML as Go's library reads and writes them (``sigs.k8s.io/yaml`` over ``yaml.v2``).

Called by ``go_yaml`` alone.

Owns: what plain words mean, keys that are no texts, merge keys, and keys that come twice. Refuses: what a
document is for. libyaml does the scanning on both sides, so its faults are the same. Unlike PyYAML's own
rules: ``y`` and ``n`` are switches, ``1e3`` and ``08`` are numbers, ``12:30`` is a text, tags that nobody
knows are passed over, and only the first document of a stream is read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import yaml
from yaml.composer import ComposerError
from yaml.scanner import ScannerError

from tiphys.apimachinery import go_key_order, go_text
from tiphys.apimachinery.go_yaml import YamlError

_MAX_NODES: Final = 400_000
"""A body of the largest size that uses no aliases stays below."""
_MAX_DEPTH: Final = 240
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = ""
"""The tag of a scalar that is neither quoted nor tagged."""
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_NUMERIC: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES: Final = (16, 2, 8, 10)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]*)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_SIXTIES: Final = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""What other readers take for a time, or for a number to the base of sixty: texts here, and quoted."""
_MERGE: Final = "<<"


def load(body: bytes | str) -> tuple[Any, list[str]]:
    """See ``go_yaml.load``."""
    with _faults(body):
        loader = _Loader(body)
        try:
            node = loader.get_node() if loader.check_node() else None
            reader = _Reader()
            return None if node is None else reader.value(node), reader.doubled
        finally:
            loader.dispose()


def dump(value: Any) -> str:
    """See ``go_yaml.dump``."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return text


def scalar(text: str) -> Any:
    """Return what a plain word means; floats may be infinite or none."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _NUMERIC else text


def _number(text: str) -> Any:
    plain = text if text[0] == "." else text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found is not None:
        digits, base = next((found[at], base) for at, base in enumerate(_BASES, 2) if found[at] is not None)
        number = int(digits, base) if len(digits) < 400 else 1 << 64
        if number < 1 << 64:
            return -number if found[1] == "-" else number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        return value if abs(value) != float("inf") else text
    return text


class _Resolving:
    """Leaves the meaning of plain scalars to ``scalar``."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else f"{_TAG}str"
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


class _Loader(_Resolving, yaml.CSafeLoader):
    pass


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write what stands in several places in each of them: Go's values share nothing."""
        return True

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """Say what a plain scalar would be taken for: texts that look like something else are quoted."""
        if kind is yaml.ScalarNode and implicit[0] and value != _MERGE:
            return f"{_TAG}{_short_tag(scalar(value))}"
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag


def _represent_number(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    """Write a number as Go does, which makes JSON of it, reads that as YAML, and writes what it read."""
    whole = type(value) is int and -(1 << 63) <= value < 1 << 63
    number = scalar(str(value) if whole else go_text.number(float(value)))
    text = go_text.shortest(number) if type(number) is float else str(number)
    return dumper.represent_scalar(f"{_TAG}{_short_tag(number)}", text)


def _represent_text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{_TAG}str", value, _style(value))


def _represent_map(dumper: _Dumper, value: dict[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping(
        f"{_TAG}map", {key: value[key] for key in go_key_order.in_order(tuple(value))}
    )


def _style(text: str) -> str | None:
    """Return how a text is written: by lines, in quotes where it looks like something else, or as it is."""
    if "\n" in text:
        return "|"
    looks_otherwise = type(scalar(text)) is not str or text == _MERGE
    return '"' if looks_otherwise or _TIME.fullmatch(text) or _SIXTIES.fullmatch(text) else None


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(dict, _represent_map)
_Dumper.add_multi_representer(dict, _represent_map)  # those that know how they were written
_Dumper.add_multi_representer(list, _Dumper.represent_list)
for _type in (int, float):
    _Dumper.add_representer(_type, _represent_number)


def _short_tag(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "str")


@contextmanager
def _faults(body: bytes | str) -> Iterator[None]:
    try:
        yield
    except ComposerError as error:
        raise YamlError(f"yaml: {_alias_fault(body) or error.problem}") from error
    except yaml.YAMLError as error:
        raise YamlError(f"yaml: {_text_of(error)}") from error
    except _InsideItself as error:
        raise YamlError(f"yaml: {_alias_fault(body)}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise YamlError(f"yaml: {error}") from error


def _alias_fault(body: bytes | str) -> str:
    """Return what is wrong with a document's first alias that is wrong. Nodes do not know their anchors."""
    complete: set[str] = set()
    outer: list[str | None] = []
    for event in yaml.parse(body, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in outer:
                return f"anchor '{event.anchor}' value contains itself"
            if event.anchor not in complete:
                return f"unknown anchor '{event.anchor}' referenced"
        elif isinstance(event, yaml.CollectionStartEvent):
            outer.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            complete.add(outer.pop() or "")
        elif isinstance(event, yaml.ScalarEvent):
            complete.add(event.anchor or "")
    return ""


class _InsideItself(Exception):
    """A node that is a part of itself."""


def _text_of(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    if not problem:
        return str(error).replace("\n", " ")
    line = _line(getattr(error, "problem_mark", None))
    if line:
        # The scanner stands before the line's end where the parser has passed it.
        line += isinstance(error, ScannerError)
    else:
        line = _line(getattr(error, "context_mark", None))
    return f"line {line}: {problem}" if line else str(problem)


def _line(mark: yaml.Mark | None) -> int:
    return 0 if mark is None else int(mark.line)


class _Reader:
    """Turns nodes into values, and remembers which keys came twice."""

    def __init__(self) -> None:
        self.doubled: list[str] = []
        self._visited = 0
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node) -> Any:
        self._visited += 1
        if self._visited > _MAX_NODES:
            raise YamlError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _jsonable(_scalar_of(node))
        with self._inside(node):
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            found: dict[tuple[type, Any], Any] = {}
            self._fill(found, node)
        return {_key_text(key, value): value for (_, key), value in found.items()}

    @contextmanager
    def _inside(self, node: yaml.Node) -> Iterator[None]:
        if len(self._open) >= _MAX_DEPTH:
            if any(node is outer for outer in self._open):
                raise _InsideItself
            raise YamlError(f"yaml: exceeded max depth of {_MAX_DEPTH}")
        self._open.append(node)
        yield
        self._open.pop()

    def _fill(self, found: dict[tuple[type, Any], Any], node: yaml.Node) -> None:
        for key_node, value_node in node.value:
            if key_node.value == _MERGE and key_node.tag in (_PLAIN, f"{_TAG}merge"):
                self._merge(found, value_node)
                continue
            key = self._key(key_node)
            value = self.value(value_node)
            typed = (type(key), key)  # 1, 1.0 and true are three keys
            if typed in found:
                line = value_node.start_mark.line + 1
                self.doubled.append(f"line {line}: key {go_text.syntax(key)} already set in map")
            found[typed] = value

    def _merge(self, found: dict[tuple[type, Any], Any], node: yaml.Node) -> None:
        """Put the keys of other maps into one. What comes later wins, be it merged or written."""
        for one in reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise YamlError("yaml: map merge requires map or sequence of maps as the value")
            with self._inside(one):
                self._fill(found, one)

    def _key(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar_of(node)
        shown = go_text.syntax(self.value(node)).replace("map[string]", "map[interface {}]")
        raise YamlError(f"yaml: invalid map key: {shown}")


def _scalar_of(node: yaml.ScalarNode) -> Any:
    """Return a scalar by its tag. Raises YamlError where the two do not go together."""
    tag, text = node.tag.removeprefix(_TAG), str(node.value)
    if tag == _PLAIN:
        return scalar(text)
    if tag == "binary":
        try:
            return base64.b64decode(text.replace("\n", ""), validate=True).decode(errors="replace")
        except binascii.Error as error:
            raise YamlError("yaml: !!binary value contains invalid base64 data") from error
    if tag not in ("bool", "int", "float", "null"):
        return text
    found = scalar(text)
    kind = _short_tag(found)
    if kind == "int" and tag == "float":
        return float(found)
    if kind != tag:
        raise YamlError(f"yaml: cannot decode !!{kind} `{text}` as a !!{tag}")
    return found


def _jsonable(value: Any) -> Any:
    """Return a scalar as it is once it has been JSON: whole numbers are whole."""
    if type(value) is float:
        if value != value or abs(value) == float("inf"):
            shown = {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value, "NaN")
            raise YamlError(f"json: unsupported value: {shown}")
        if value.is_integer() and -(2.0**63) <= value < 2.0**63:
            return int(value)
    return value


def _key_text(key: Any, value: Any) -> str:
    if type(key) is str:
        return key
    if key is None:
        shown = go_text.syntax(value)
        raise YamlError(f"unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}")
    return str(go_text.plain(key))
