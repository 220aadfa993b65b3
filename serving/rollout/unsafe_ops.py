"""Ops by which a SavedModel reaches beyond its request: files, Python, the network.

A SavedModel is a program, and whoever serves it runs it with the server's rights
(https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md). Networks need none of these ops,
so a model that has one is not deployed unless the op is allowed by name. TensorFlow's own scan,
`saved_model_cli scan`, knows the first three: ReadFile, WriteFile, PrintV2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from serving.protocol import schema

_UNSAFE = re.compile(
    r"ReadFile|WriteFile|PrintV2"
    r"|MatchingFiles|ImmutableConst|DumpTensor|RecordInput|FileSystemSetConfiguration"
    r"|GenerateVocabRemapping|(Close|Flush)?SummaryWriter|CreateSummary\w+|Write\w*Summary"
    # Data sets and readers of files.
    r"|\w*(TFRecord|TextLine|FixedLengthRecord|CSV|LMDB|Sql|Cache|Snapshot\w*|MatchingFiles)"
    r"Dataset(V\d)?|(Save|Load)Dataset(V\d)?|\w*DatasetToTFRecord|\w*Snapshot\w*Reader"
    r"|(WholeFile|TextLine|FixedLengthRecord|TFRecord|LMDB)Reader(V2)?"
    # Python of the server's process.
    r"|PyFunc|PyFuncStateless|EagerPyFunc"
    # The network; the debugger's ops write to any address, files among them.
    r"|Rpc\w+|DataServiceDataset(V\d)?|Debug(Identity|NanCount|NumericSummary)(V\d)?"
)
# Each SavedModel has these to load its variables; what answers requests does not call them.
_CHECKPOINTS = re.compile(r"Save(V2|Slices)?|Restore(V2|Slice)?|MergeV2Checkpoints|DistributedSave")

_SavedModel = schema.classes(
    """
message scanned.ListValue
  repeated scanned.NameAttrList func = 9
message scanned.AttrValue
  scanned.ListValue list = 1
  scanned.NameAttrList func = 10
message scanned.NameAttrList
  string name = 1
message scanned.NodeDef
  string name = 1
  string op = 2
  repeated string input = 3
  map scanned.AttrValue attr = 5
message scanned.OpDef
  string name = 1
message scanned.FunctionDef
  scanned.OpDef signature = 1
  repeated scanned.NodeDef node_def = 3
message scanned.FunctionDefLibrary
  repeated scanned.FunctionDef function = 1
message scanned.GraphDef
  repeated scanned.NodeDef node = 1
  scanned.FunctionDefLibrary library = 2
message scanned.TensorInfo
  string name = 1
message scanned.SignatureDef
  map scanned.TensorInfo outputs = 2
message scanned.MetaGraphDef
  scanned.GraphDef graph_def = 2
  map scanned.SignatureDef signature_def = 5
message scanned.SavedModel
  repeated scanned.MetaGraphDef meta_graphs = 2
"""
)["SavedModel"]


def unsafe_ops(saved_model: Path) -> tuple[str, ...]:
    """Returns the names of the unsafe ops of a SavedModel, sorted.

    An op counts wherever it is in a graph or its functions; one that reads or writes checkpoints
    counts only where a signature leads to it.

    Args:
        saved_model: The folder with `saved_model.pb`.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ValueError: It is not a SavedModel.
    """
    model = _SavedModel()
    try:
        model.ParseFromString((saved_model / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ValueError("saved_model.pb is not a SavedModel") from error
    found: set[str] = set()
    for meta in model.meta_graphs:
        functions = {f.signature.name: f.node_def for f in meta.graph_def.library.function}
        everywhere = [*meta.graph_def.node, *(n for nodes in functions.values() for n in nodes)]
        found |= {node.op for node in everywhere if _UNSAFE.fullmatch(node.op)}
        answering = {node.op for node in _answering(meta, functions)}
        found |= {op for op in answering if _CHECKPOINTS.fullmatch(op)}
    return tuple(sorted(found))


def _answering(meta: Any, functions: Mapping[str, Iterable[Any]]) -> Iterator[Any]:
    """Yields the nodes that signatures lead to, those of called functions among them."""
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [
        output.name
        for signature in meta.signature_def.values()
        for output in signature.outputs.values()
    ]
    seen: set[str] = set()
    called: set[str] = set()
    while waiting:
        # A tensor is NODE:NUMBER, and ^NODE is one that has to run before.
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        node = nodes[name]
        yield node
        waiting += node.input
        called |= _functions(node)
    done: set[str] = set()
    while called := called - done:
        name = called.pop()
        done.add(name)
        for node in functions.get(name, ()):
            yield node
            called |= _functions(node)


def _functions(node: Any) -> set[str]:
    """Returns the names of the functions that a node may call."""
    names = {node.op}  # A node may have a function as its op.
    for value in node.attr.values():
        names |= {value.func.name, *(function.name for function in value.list.func)}
    return names - {""}
