"""Message classes from a table of fields, without generated code.

A line `message PACKAGE.NAME` begins a message; each line below it is a field, `TYPE name = NUMBER`,
with `repeated`, `map` (whose keys are strings) or a oneof's name and a colon before the type. A
package may use the messages of packages above it. The classes have their own descriptor pool, so
that they do not clash with the originals where both are loaded.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_FIELD = re.compile(r"(repeated |map |\w+: )?([\w.]+) (\w+) = (\d+)")


def classes(schema: str) -> dict[str, Any]:
    """Returns the class of each message of a table, by its name without the package."""
    pool = descriptor_pool.DescriptorPool()
    descriptions = files(schema)
    for file in descriptions:
        pool.AddSerializedFile(file.SerializeToString())
    return {
        message.name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{file.package}.{message.name}")
        )
        for file in descriptions
        for message in file.message_type
    }


def files(schema: str) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns the description of a file for each package of a table."""
    by_package: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for line in schema.strip().splitlines():
        if line.startswith("message "):
            package, _, name = line.removeprefix("message ").rpartition(".")
            if package not in by_package:
                by_package[package] = descriptor_pb2.FileDescriptorProto(
                    name=f"{package}.proto",
                    package=package,
                    syntax="proto3",
                    dependency=[file.name for file in by_package.values()],
                )
            message = by_package[package].message_type.add(name=name)
        else:
            kind, type_name, name, number = _FIELD.fullmatch(line.strip()).groups()  # type: ignore[union-attr]
            _add_field(message, f"{package}.{message.name}", kind, type_name, name, int(number))
    return list(by_package.values())


def _add_field(
    message: descriptor_pb2.DescriptorProto,
    full_name: str,
    kind: str | None,
    type_name: str,
    name: str,
    number: int,
) -> None:
    if kind == "map ":
        entry_name = f"{name.title().replace('_', '')}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "", None, "string", "key", 1)
        _add_field(entry, "", None, type_name, "value", 2)
        kind, type_name = "repeated ", f"{full_name}.{entry_name}"
    label = _Field.LABEL_REPEATED if kind == "repeated " else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind and kind.endswith(": "):
        oneofs = [oneof.name for oneof in message.oneof_decl]
        if kind[:-2] not in oneofs:
            message.oneof_decl.add(name=kind[:-2])
            oneofs.append(kind[:-2])
        field.oneof_index = oneofs.index(kind[:-2])
    if "." in type_name:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{type_name}"
    else:
        field.type = getattr(_Field, f"TYPE_{type_name.upper()}")
