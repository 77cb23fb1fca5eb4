"""One time step of a model, as it was recorded or walked, written call by call: sums are edges that meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import nir
from torch import nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.draft import plain_name
from squat_deploy.lowering.options import plain_function
from squat_deploy.lowering.program import Call, Program
from squat_deploy.readers.nir.outline import Outline, refuse

WriteModule = Callable[[Outline, str, str, Any], None]
_PASSED = ("clone", "contiguous", "detach", "dropout", "dropout2d")
_RESHAPES = ("flatten", "reshape", "view", "squeeze", "unsqueeze", "unflatten")
_INSTEAD = {
    "cat": "NIR has no concatenation: let a layer each take the parts, and add what they give",
    "max_pool2d": "NIR has no maximum: use avg_pool2d",
}
_Value = tuple[tuple[str, ...], tuple[int, ...]]  # the nodes that make it, and its shape


def write_calls(writing: Outline, program: Program, write_module: WriteModule) -> None:
    """All calls that lead to the result; the outline ends with its nodes. Raises: LoweringError with every fault."""
    faults, values = list[Fault](), dict[int, _Value]()
    for call in _leading(program):
        writing.ends, writing.shape = values[id(call.inputs[0])] if call.inputs else (("input",), writing.shape)
        try:
            _write(writing, call, [values[id(source)] for source in call.inputs], write_module)
        except LoweringError as error:
            faults += error.faults
        values[id(call)] = writing.ends, writing.shape
    if faults:
        raise LoweringError(tuple(faults))


def _leading(program: Program) -> Iterator[Call]:
    """The calls that the result comes from, in the order in which `lower` takes them."""
    found, open_ends = set[int](), [program.result]
    while open_ends:
        call = open_ends.pop()
        if id(call) not in found:
            found.add(id(call))
            open_ends += call.inputs
    return (call for call in program.calls() if id(call) in found)


def _write(writing: Outline, call: Call, taken: list[_Value], write_module: WriteModule) -> None:
    for ends, shape in taken:
        if any(isinstance(writing.nodes[end], nir.LI) for end in ends):
            refuse(call.label, "a readout is the last layer", f"{shape} and more behind it", "let it fire")
    if call.kind == "late":
        hint = "use snn.RLeaky or snn.RSynaptic, whose spikes come back through a QuantLinear"
        refuse(call.label, "what NIR takes was made in the same step", "spikes of the step before", hint)
    if call.kind == "module":
        assert call.module is not None
        write_module(writing, call.label, plain_name(call.label), call.module)
    elif call.kind == "function":
        _function(writing, call, taken, write_module)


def _function(writing: Outline, call: Call, taken: list[_Value], write_module: WriteModule) -> None:
    name = plain_function(call.function)
    if name == "add" and len(taken) == 2:
        _add(writing, call, *taken)
    elif name in _RESHAPES:
        if call.shape != writing.shape:
            if call.shape is None or len(call.shape) != 1:
                refuse(call.label, "NIR changes shapes by Flatten alone", f"{call.shape}", "use x.flatten(1)")
            write_module(writing, call.label, "flatten", nn.Flatten())
    elif name == "avg_pool2d":
        write_module(writing, call.label, "pool", nn.AvgPool2d(**call.options))
    elif name not in _PASSED:
        hint = _INSTEAD.get(name, "use a module of those that export-nir writes")
        refuse(call.label, "NIR has a node for this function", name, hint)


def _add(writing: Outline, call: Call, first: _Value, second: _Value) -> None:
    """Both lead to whatever takes the sum; the order of the edges is that of the terms."""
    if len(second[0]) > 1 or set(first[0]) & set(second[0]):
        got = "a sum in the second term" if len(second[0]) > 1 else "one value twice"
        refuse(call.label, "sums are of nodes, from left to right", got, "write (a + b) + c, and factors as weights")
    writing.ends = (*first[0], *second[0])
