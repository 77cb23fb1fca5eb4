"""Building ONNX graphs in which every tensor has a name, a shape, a container type and its exact QONNX datatype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorAnnotation, TensorProto, ValueInfoProto, helper, numpy_helper

from squat_deploy.errors import ExportError
from squat_deploy.network import int_bits
from squat_deploy.onnx_file import QONNX_DOMAIN

OPSET = 20
IR_VERSION = 10
QONNX_OPSET = 2
Shape = tuple[int | str, ...]
Bounds = tuple[int, int]

BOOL, INT8, UINT8 = TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8
INT32, INT64, FLOAT = TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT


def datatype(bounds: Bounds) -> str:
    """Narrowest QONNX datatype of integers in low..high: "BINARY", "UINT4", "INT18" ..."""
    if bounds in ((0, 1), (0, 0), (1, 1)):
        return "BINARY"
    return f"{'INT' if bounds[0] < 0 else 'UINT'}{int_bits(*bounds)}"


def container(bounds: Bounds) -> int:
    """Smallest ONNX element type for inputs and weights in low..high: 8 bits, else int32."""
    low, high = bounds
    if low >= 0 and high <= 255:
        return UINT8
    return INT8 if low >= -128 and high <= 127 else INT32


@dataclass(frozen=True)
class Tensor:
    """A handle of one tensor of a graph.

    Attributes:
        element: ONNX element type of its container.
        shape: sizes, or the name of a size that is open.
        bounds: range of its integers.
    """

    name: str
    element: int
    shape: Shape
    bounds: Bounds

    @property
    def dtype(self) -> np.dtype[Any]:
        return helper.tensor_dtype_to_np_dtype(self.element)

    def named(self, name: str) -> Tensor:
        """The same under another name."""
        return replace(self, name=name)

    def info(self) -> ValueInfoProto:
        """As ONNX states it."""
        return helper.make_tensor_value_info(self.name, self.element, self.shape)


class GraphBuilder:
    """One graph under construction.

    Attributes:
        parameters: tensors that are declared without their arrays; `graph_with` fills them in.
        tensors: all of the graph, by name.
        inner: those of nodes that are no outputs of the graph yet.
    """

    def __init__(self, name: str) -> None:
        self.graph = GraphProto(name=name)
        self.parameters: dict[str, Tensor] = {}
        self.tensors: dict[str, Tensor] = {}
        self.inner: dict[str, Tensor] = {}
        self.bodies: list[GraphBuilder] = []
        self.scan_name = ""  # of the node whose body this is

    def input(self, tensor: Tensor) -> Tensor:
        self.graph.input.append(tensor.info())
        return self._declared(tensor)

    def output(self, tensor: Tensor) -> None:
        """Marks the result of a node as an output of the graph."""
        self.graph.output.append(self.inner.pop(tensor.name).info())

    def parameter(self, name: str, element: int, shape: Shape, bounds: Bounds) -> Tensor:
        self.parameters[name] = Tensor(name, element, shape, bounds)
        return self._declared(self.parameters[name])

    def constant(self, name: str, values: NDArray[Any]) -> Tensor:
        """A value that belongs to the structure, not to the network."""
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        bounds = (int(values.min()), int(values.max())) if values.size else (0, 0)
        return self._declared(Tensor(name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape, bounds))

    def node(
        self,
        operator: str,
        inputs: Sequence[Tensor],
        name: str,
        *,
        element: int | None = None,
        shape: Shape | None = None,
        bounds: Bounds | None = None,
        **attributes: Any,
    ) -> Tensor:
        """Appends a node and returns its only output; what is not said of it is as in the first input."""
        stated: dict[str, Any] = {"element": element, "shape": shape, "bounds": bounds}
        result = replace(inputs[0], name=name, **{key: value for key, value in stated.items() if value is not None})
        self._nodes(operator, inputs, [result], **attributes)
        return result

    def cast(self, x: Tensor, name: str, element: int) -> Tensor:
        """The same integers in another container."""
        return x if x.element == element else self.node("Cast", [x], name, element=element, to=element)

    def scan(self, body: GraphBuilder, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Appends a Scan over the last input; its body is finished later, by `graph_with`."""
        made = self._nodes("Scan", inputs, outputs, num_scan_inputs=1)
        body.scan_name = made.name
        made.attribute.append(helper.make_attribute("body", GraphProto(name=body.graph.name)))
        self.bodies.append(body)

    def _nodes(
        self, operator: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], **attributes: Any
    ) -> NodeProto:
        """Appends a node; it is named after its first output."""
        domain = QONNX_DOMAIN if operator == "MultiThreshold" else ""
        taken, given = ([tensor.name for tensor in tensors] for tensors in (inputs, outputs))
        name = f"{given[0]}.{operator}"
        self.graph.node.append(helper.make_node(operator, taken, given, name=name, domain=domain, **attributes))
        for tensor in outputs:
            self.inner[tensor.name] = self._declared(tensor)
        return self.graph.node[-1]

    def _declared(self, tensor: Tensor) -> Tensor:
        if tensor.name in self.tensors:
            raise ExportError(f"two tensors named {tensor.name!r}; give the layers other names")
        self.tensors[tensor.name] = tensor
        if tensor.element != BOOL:  # QONNX has no type for truth values, and its executor fails where they carry one
            annotation = TensorAnnotation(tensor_name=tensor.name)
            annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype(tensor.bounds))
            self.graph.quantization_annotation.append(annotation)
        return tensor

    def graph_with(self, arrays: Mapping[str, NDArray[Any]]) -> GraphProto:
        """The finished graph, its parameters and those of its bodies filled in.

        Raises: ExportError for an array whose values its container cannot hold.
        """
        graph = GraphProto()
        graph.CopyFrom(self.graph)
        graph.value_info.extend(tensor.info() for tensor in self.inner.values())
        for name, declared in self.parameters.items():
            values = np.ascontiguousarray(arrays[name], dtype=declared.dtype)
            if not np.array_equal(values, arrays[name]):
                raise ExportError(f"{name}: its values do not fit {values.dtype}")
            shape = [int(size) for size in declared.shape]
            graph.initializer.append(numpy_helper.from_array(values.reshape(shape), name))
        scans = (node for node in graph.node if node.op_type == "Scan")
        for node, body in zip(scans, self.bodies, strict=True):
            attribute = next(a for a in node.attribute if a.name == "body")
            attribute.g.CopyFrom(body.graph_with(arrays))
        return graph


def model_of(graph: GraphProto, *, qonnx: bool) -> ModelProto:
    """A model of opset 20; the QONNX domain is imported where it is used."""
    opsets = [helper.make_opsetid("", OPSET)] + ([helper.make_opsetid(QONNX_DOMAIN, QONNX_OPSET)] if qonnx else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "squat_deploy"
    return model
