"""google.protobuf message classes made at run time from plain tables of fields.

Owns: turning ``message -> field -> [number, type]`` into descriptors and classes. Refuses: reading files,
gRPC itself. Called by the CRI client and the etcd store; the Kubernetes API has a codec of its own
(``apis.protobuf.codec``) that needs no classes.

Types are written ``string``, ``repeated int64``, ``map<string,bytes>`` or the full name of a message or enum,
with ``repeated`` or ``map<...>`` around it where it applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

FieldTable = Mapping[str, Mapping[str, Sequence[Any]]]
EnumTable = Mapping[str, Mapping[str, int]]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: dict[str, Any] = {
    "double": _Field.TYPE_DOUBLE, "float": _Field.TYPE_FLOAT, "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64, "uint32": _Field.TYPE_UINT32, "uint64": _Field.TYPE_UINT64,
    "sint32": _Field.TYPE_SINT32, "sint64": _Field.TYPE_SINT64, "fixed32": _Field.TYPE_FIXED32,
    "fixed64": _Field.TYPE_FIXED64, "sfixed32": _Field.TYPE_SFIXED32, "sfixed64": _Field.TYPE_SFIXED64,
    "bool": _Field.TYPE_BOOL, "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES,
}  # fmt: skip


class Messages(Mapping[str, type[Message]]):
    """Message classes by full name; a class is made when first asked for."""

    def __init__(self, pool: descriptor_pool.DescriptorPool, names: frozenset[str], enums: EnumTable) -> None:
        self._pool = pool
        self._names = names
        self._classes: dict[str, type[Message]] = {}
        self._enums = {name: dict(values) for name, values in enums.items()}

    def __getitem__(self, name: str) -> type[Message]:
        cls = self._classes.get(name)
        if cls is None:
            if name not in self._names:
                raise KeyError(name)
            cls = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))
            self._classes[name] = cls
        return cls

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def enum(self, name: str) -> Mapping[str, int]:
        """Return the numbers of one enum by value name. Raises KeyError."""
        return self._enums[name]


def build(messages: FieldTable, enums: EnumTable, *, syntax: str = "proto3") -> Messages:
    """Make message classes; with ``proto2`` every single field has presence and lists are not packed.

    Raises:
        ValueError: a type that is neither scalar nor named in the tables, or packages that need each other.
    """
    names = frozenset(messages)
    builder = _Builder(names, frozenset(enums), syntax)
    for name in sorted(enums):
        builder.add_enum(name, enums[name])
    for name in sorted(messages):
        builder.add_message(name, messages[name])
    pool = descriptor_pool.DescriptorPool()
    for file in builder.ordered_files():
        pool.Add(file)
    return Messages(pool, names, enums)


class _Builder:
    """Collects one file descriptor for each package."""

    def __init__(self, messages: frozenset[str], enums: frozenset[str], syntax: str) -> None:
        self._messages = messages
        self._enums = enums
        self._syntax = syntax
        self._files: dict[str, Any] = {}
        self._needs: dict[str, set[str]] = {}
        self._made: dict[str, Any] = {}

    def add_enum(self, name: str, values: Mapping[str, int]) -> None:
        enum = self._place(name).enum_type.add(name=name.rpartition(".")[2])
        if len(set(values.values())) < len(values):
            enum.options.allow_alias = True
        # proto3 wants the zero value first.
        for text, number in sorted(values.items(), key=lambda item: (item[1] != 0, item[1], item[0])):
            enum.value.add(name=text, number=number)

    def add_message(self, name: str, fields: Mapping[str, Sequence[Any]]) -> None:
        message = self._message(name)
        package = self._package(name)
        for field, (number, written) in sorted(fields.items(), key=lambda item: item[1][0]):
            self._add_field(package, name, message, (field, number, written))

    def ordered_files(self) -> list[Any]:
        """Return the files so that each follows what it imports."""
        done: list[str] = []
        waiting = dict(self._needs)
        while waiting:
            ready = sorted(package for package, needs in waiting.items() if needs <= set(done))
            if not ready:
                raise ValueError(f"packages need each other: {', '.join(sorted(waiting))}")
            done.extend(ready)
            for package in ready:
                del waiting[package]
        for package in done:
            self._files[package].dependency.extend(f"{need}.proto" for need in sorted(self._needs[package]))
        return [self._files[package] for package in done]

    def _add_field(self, package: str, owner: str, message: Any, spec: tuple[str, int, str]) -> None:
        name, number, written = spec
        if written.startswith("map<"):
            key_type, _, value_type = written[4:-1].partition(",")
            entry_name = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
            entry = message.nested_type.add(name=entry_name)
            entry.options.map_entry = True
            self._set_type(package, entry.field.add(name="key", number=1, label=1), key_type.strip())
            self._set_type(package, entry.field.add(name="value", number=2, label=1), value_type.strip())
            message.field.add(
                name=name,
                number=number,
                label=3,
                type=_Field.TYPE_MESSAGE,
                type_name=f".{owner}.{entry_name}",
            )
            return
        label = 3 if written.startswith("repeated ") else 1
        field = message.field.add(name=name, number=number, label=label)
        self._set_type(package, field, written.removeprefix("repeated "))

    def _set_type(self, package: str, field: Any, written: str) -> None:
        scalar = _SCALARS.get(written)
        if scalar is not None:
            field.type = scalar
            return
        if written in self._messages:
            field.type = _Field.TYPE_MESSAGE
        elif written in self._enums:
            field.type = _Field.TYPE_ENUM
        else:
            raise ValueError(f"unknown type {written!r}")
        field.type_name = "." + written
        other = self._package(written)
        if other != package:
            self._needs[package].add(other)

    def _package(self, name: str) -> str:
        parent = name.rpartition(".")[0]
        while parent in self._messages:
            parent = parent.rpartition(".")[0]
        return parent

    def _place(self, name: str) -> Any:
        """Return what holds the declaration: the message it is nested in, or its package's file."""
        parent = name.rpartition(".")[0]
        if parent in self._messages:
            return self._message(parent)
        file = self._files.get(parent)
        if file is None:
            file = descriptor_pb2.FileDescriptorProto(
                name=f"{parent}.proto", package=parent, syntax=self._syntax
            )
            self._files[parent] = file
            self._needs[parent] = set()
        return file

    def _message(self, name: str) -> Any:
        made = self._made.get(name)
        if made is None:
            place = self._place(name)
            short = name.rpartition(".")[2]
            if isinstance(place, descriptor_pb2.FileDescriptorProto):
                made = place.message_type.add(name=short)
            else:
                made = place.nested_type.add(name=short)
            self._made[name] = made
        return made
