"""Building ONNX graphs in which every tensor has a name, a shape, a container type and its exact QONNX datatype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
Shape = Sequence[int | str]
Range = tuple[int, int]

BOOL, INT8, UINT8 = TensorProto.BOOL, TensorProto.INT8, TensorProto.UINT8
INT32, INT64, FLOAT = TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT


def datatype(bounds: Range) -> str:
    """Narrowest QONNX datatype of integers in low..high: "BINARY", "UINT4", "INT18" ..."""
    if bounds in ((0, 1), (0, 0), (1, 1)):
        return "BINARY"
    return f"{'INT' if bounds[0] < 0 else 'UINT'}{int_bits(*bounds)}"


def container(bounds: Range) -> int:
    """Smallest ONNX element type for inputs and weights in low..high: 8 bits, else int32."""
    low, high = bounds
    if low >= 0 and high <= 255:
        return UINT8
    return INT8 if low >= -128 and high <= 127 else INT32


class GraphBuilder:
    """One graph under construction.

    Parameters are declared without their arrays: `parameters` holds (element type, shape) by name, and `graph_with`
    fills them in.
    """

    def __init__(self, name: str) -> None:
        self.graph = GraphProto(name=name)
        self.parameters: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.bodies: list[GraphBuilder] = []
        self.scan_name = ""  # of the node whose body this is
        self._shapes: dict[str, Shape] = {}
        self._elements: dict[str, int] = {}
        self._bounds: dict[str, Range] = {}
        self._inner: dict[str, ValueInfoProto] = {}

    def input(self, name: str, element: int, shape: Shape, bounds: Range) -> str:
        self.graph.input.append(helper.make_tensor_value_info(name, element, shape))
        return self._declared(name, element, shape, bounds)

    def output(self, name: str) -> None:
        """Marks the result of a node as an output of the graph."""
        self.graph.output.append(self._inner.pop(name))

    def parameter(self, name: str, element: int, shape: tuple[int, ...], bounds: Range) -> str:
        self.parameters[name] = (element, shape)
        return self._declared(name, element, shape, bounds)

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A value that belongs to the structure, not to the network."""
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        bounds = (int(values.min()), int(values.max())) if values.size else (0, 0)
        return self._declared(name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape, bounds)

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        element: int,
        shape: Shape,
        bounds: Range,
        **attributes: Any,
    ) -> str:
        """Appends a node with one output and returns the output's name."""
        self.nodes(operator, inputs, [(output, element, shape, bounds)], **attributes)
        return output

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[tuple[str, int, Shape, Range]],
        **attributes: Any,
    ) -> NodeProto:
        """Appends a node; it is named after its first output."""
        domain = QONNX_DOMAIN if operator == "MultiThreshold" else ""
        names = [name for name, *_ in outputs]
        name = f"{names[0]}.{operator}"
        self.graph.node.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        for output, element, shape, bounds in outputs:
            self._inner[output] = helper.make_tensor_value_info(output, element, shape)
            self._declared(output, element, shape, bounds)
        return self.graph.node[-1]

    def scan(
        self,
        body: GraphBuilder,
        inputs: Sequence[str],
        outputs: Sequence[tuple[str, int, Shape, Range]],
        scan_inputs: int,
    ) -> None:
        """Appends a Scan whose body is finished later, by `graph_with`."""
        made = self.nodes("Scan", inputs, outputs, num_scan_inputs=scan_inputs)
        body.scan_name = made.name
        made.attribute.append(helper.make_attribute("body", GraphProto(name=body.graph.name)))
        self.bodies.append(body)

    def shape(self, name: str) -> Shape:
        return self._shapes[name]

    def element(self, name: str) -> int:
        """Container of a tensor."""
        return self._elements[name]

    def dtype(self, name: str) -> np.dtype[Any]:
        """The same as a NumPy type."""
        return helper.tensor_dtype_to_np_dtype(self._elements[name])

    def bounds(self, name: str) -> Range:
        """Range of a tensor's integers."""
        return self._bounds[name]

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self._shapes

    def is_made(self, name: str) -> bool:
        """Whether a node gives the tensor, and it is no output yet."""
        return name in self._inner

    def _declared(self, name: str, element: int, shape: Shape, bounds: Range) -> str:
        if name in self._shapes:
            raise ExportError(f"two tensors named {name!r}; give the layers other names")
        self._shapes[name], self._elements[name], self._bounds[name] = shape, element, bounds
        if element == BOOL:  # QONNX has no type for truth values, and its executor fails where they carry one
            return name
        annotation = TensorAnnotation(tensor_name=name)
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype(bounds))
        self.graph.quantization_annotation.append(annotation)
        return name

    def graph_with(self, arrays: Mapping[str, NDArray[Any]]) -> GraphProto:
        """The finished graph, its parameters and those of its bodies filled in.

        Raises: ExportError for an array whose values its container cannot hold.
        """
        graph = GraphProto()
        graph.CopyFrom(self.graph)
        graph.value_info.extend(self._inner.values())
        for name, (element, shape) in self.parameters.items():
            values = np.ascontiguousarray(arrays[name], dtype=helper.tensor_dtype_to_np_dtype(element))
            if not np.array_equal(values, arrays[name]):
                raise ExportError(f"{name}: its values do not fit {values.dtype}")
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
