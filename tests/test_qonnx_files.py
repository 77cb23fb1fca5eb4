"""Bad ONNX files: one clear error each, in bounded memory and time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

import squat_deploy as sd
from squat_deploy.backends.qonnx.document import KEY
from squat_deploy.errors import FileFormatError
from tests.drawing import draw


def node(model: ModelProto, output: str) -> NodeProto:
    return next(n for n in model.graph.node if n.output[0] == output)


def array(model: ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def replace(model: ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = array(model, name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def describe(model: ModelProto, change: Callable[[dict], object]) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    document = json.loads(entry.value)
    change(document)
    entry.value = json.dumps(document)


def cycle(model: ModelProto) -> None:
    node(model, "fc1.synaptic_sum").input[0] = "lif2.spikes"


def unknown_operator(model: ModelProto) -> None:
    node(model, "lif1.fires").op_type = "GreaterOrEqualish"


def unknown_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def comparison(model: ModelProto) -> None:
    node(model, "lif1.fires").op_type = "Greater"


def reduction(model: ModelProto) -> None:
    node(model, "lif1.state_next").attribute[0].i = 1


def wider(model: ModelProto) -> None:
    replace(model, "fc1.weight", lambda a: a.astype(np.int16))


def shape_bomb(model: ModelProto) -> None:
    array(model, "fc1.weight").dims[:] = [2**31, 2**31]


def negative_shape(model: ModelProto) -> None:
    array(model, "fc1.weight").dims[:] = [-1, 8]


def strings(model: ModelProto) -> None:
    array(model, "fc1.weight").CopyFrom(helper.make_tensor("fc1.weight", TensorProto.STRING, [1], [b"x"]))


def outside(model: ModelProto) -> None:
    tensor = array(model, "fc1.weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def absolute(model: ModelProto) -> None:
    outside(model)
    array(model, "fc1.weight").external_data[0].value = "/etc/passwd"


def absent(model: ModelProto) -> None:
    outside(model)
    array(model, "fc1.weight").external_data[0].value = "weights.bin"


def flipped_weight(model: ModelProto) -> None:
    replace(model, "fc1.weight", lambda a: np.where(np.indices(a.shape).sum(axis=0) == 0, a ^ 1, a).astype(a.dtype))


def moved_threshold(model: ModelProto) -> None:
    replace(model, "lif1.thresholds", lambda a: a - (a == a[1, 1]).astype(a.dtype))


def falling_thresholds(model: ModelProto) -> None:
    replace(model, "lif1.thresholds", lambda a: np.ascontiguousarray(a[:, ::-1]))


def other_fire_level(model: ModelProto) -> None:
    replace(model, "lif1.fire_level", lambda a: a - 1)


def crossed(model: ModelProto) -> None:
    """The second layer reads the first one's states."""
    gather = node(model, "lif2.thresholds_of_state")
    gather.input[1] = "lif1.state"


def other_axis(model: ModelProto) -> None:
    replace(model, "lif1.level_axis", lambda a: a + 2)


def float_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def no_spikes(model: ModelProto) -> None:
    node(model, "fc2.synaptic_sum").input[0] = "input"


def offset(model: ModelProto) -> None:
    """The file itself in the place of its weights."""
    outside(model)
    array(model, "fc1.weight").external_data[0].value = "x.onnx"
    array(model, "fc1.weight").external_data.add(key="offset", value="a")


def twice(model: ModelProto) -> None:
    model.graph.initializer.append(array(model, "fc1.weight"))


def nested(model: ModelProto) -> None:
    body = helper.make_graph([], "deep", [], [])
    for _ in range(3):
        deeper = helper.make_node("If", ["input"], ["deep"], name="deep", then_branch=body)
        body = helper.make_graph([deeper], "deep", [], [])
    model.graph.node.append(body.node[0])


def no_identity(model: ModelProto) -> None:
    node(model, "lif1.spikes").op_type = "Identity"
    del node(model, "lif1.spikes").input[:]


def constant_of_another_kind(model: ModelProto) -> None:
    model.graph.initializer.remove(array(model, "fc1.weight"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["fc1.weight"], value_float=1.0))
    model.graph.node[0].attribute[0].name = "value"


def extra_tensor(model: ModelProto) -> None:
    extra = helper.make_tensor("t", TensorProto.INT32, [2], [1, 2])
    node(model, "lif1.spikes").attribute.append(helper.make_attribute("extra", extra))


def loop_of_links(model: ModelProto) -> None:
    outside(model)
    array(model, "fc1.weight").external_data[0].value = "a\0b"


def two_attributes(model: ModelProto) -> None:
    attributes = node(model, "lif1.state_next").attribute
    attributes.append(attributes[0])


def function(model: ModelProto) -> None:
    model.functions.add(name="f", domain="")


def no_outputs(model: ModelProto) -> None:
    del model.graph.output[:]


def bomb(synapses: dict) -> None:
    """One kernel of one weight on a plane of 4 G values."""
    sizes = {"stride": [2**14, 2**15], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    shapes = {"input_shape": [1, 2**16, 2**16], "weight_shape": [1, 1, 1, 1], "output_shape": [1, 4, 2]}
    synapses.update(inputs=2**32, conv=sizes | shapes)


POINTWISE = {
    "input_shape": [1, 4, 4], "weight_shape": [1, 1, 1, 1], "output_shape": [1, 4, 4],
    "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1,
}  # fmt: skip
MODELS: dict[str, tuple[Callable[[ModelProto], object], str]] = {
    "cycle": (
        cycle,
        "node 'fc1.synaptic_sum.MatMulInteger' (MatMulInteger): its input 'lif2.spikes' is made by no node before it: "
        "a cycle or a gap",
    ),
    "unknown operator": (
        unknown_operator,
        "node 'lif1.fires.GreaterOrEqual' (GreaterOrEqualish): the network has GreaterOrEqual here",
    ),
    "unknown domain": (
        unknown_domain,
        "unknown operator domain 'com.example'; known are qonnx.custom_op.general, onnx.brevitas, "
        "finn.custom_op.general",
    ),
    "other operator": (comparison, "node 'lif1.fires.GreaterOrEqual' (Greater): the network has GreaterOrEqual here"),
    "other attribute": (
        reduction,
        "node 'lif1.state_next.ReduceSum' (ReduceSum): attribute keepdims is 1; the network has 0",
    ),
    "wrong dtype": (wider, "tensor 'fc1.weight' (fc1.weight): int16 (16, 8); the network has int8 (16, 8)"),
    "shape bomb": (
        shape_bomb,
        "tensor 'fc1.weight': claims shape [2147483648, 2147483648], but holds other data",
    ),
    "negative shape": (negative_shape, "tensor 'fc1.weight': shape [-1, 8]"),
    "strings": (strings, "tensor 'fc1.weight': element type STRING is not read"),
    "data outside": (
        outside,
        "tensor 'fc1.weight': its data is in no file in the folder of the model: '../../etc/passwd'",
    ),
    "data at an absolute path": (
        absolute,
        "tensor 'fc1.weight': its data is in no file in the folder of the model: '/etc/passwd'",
    ),
    "data missing": (absent, "tensor 'fc1.weight': its data is in no file in the folder of the model: 'weights.bin'"),
    "weight flipped": (flipped_weight, "its digest is not that of its content; the file was altered"),
    "threshold moved": (moved_threshold, "its digest is not that of its content; the file was altered"),
    "thresholds fall": (falling_thresholds, "lif1: thresholds must ascend"),
    "fire level changed": (other_fire_level, "tensor 'lif1.fire_level': contradicts the other arrays of its layer"),
    "states crossed": (
        crossed,
        "node 'lif2.thresholds_of_state.Gather' (Gather): takes 'lif1.state' in place of the graph's input "
        "'lif2.state'",
    ),
    "constant changed": (
        other_axis,
        "node 'lif1.state_next.ReduceSum' (ReduceSum): takes 'lif1.level_axis', which is not the constant "
        "'lif1.level_axis'",
    ),
    "float input": (float_input, "input 'input': its type or shape is not that of 'input' in the network"),
    "two of a name": (twice, "initializer: a second tensor named 'fc1.weight'"),
    "nested deeply": (nested, "more than 100000 nodes, or graphs nested deeper than 2"),
    "no input": (no_identity, "node 'lif1.spikes.Cast' (Identity): 0 inputs, 1 outputs"),
    "constant of another kind": (
        constant_of_another_kind,
        "node 'fc1.synaptic_sum.MatMulInteger' (MatMulInteger): takes 'fc1.weight', which is not stored, in place of "
        "the array 'fc1.weight'",
    ),
    "extra attribute": (
        extra_tensor,
        "node 'lif1.spikes.Cast' (Cast): attribute extra is array([1, 2], dtype=int32); the network has None",
    ),
    "no path": (loop_of_links, "tensor 'fc1.weight': its data is in no file in the folder of the model: 'a\\x00b'"),
    "two attributes": (two_attributes, "node 'lif1.state_next.ReduceSum' (ReduceSum): two attributes of one name"),
    "no opset": (lambda m: m.ClearField("opset_import"), "states no opset"),
    "metadata: a million layers": (
        lambda m: describe(m, lambda d: d.update(layers=[0] * 10**6)),
        "metadata: layers.0: Input should be a valid dictionary or object to extract fields from",
    ),
    "metadata: huge shape": (
        lambda m: describe(m, lambda d: d["input"].update(shape=[10**30])),
        "metadata: InputSpec: shape must be 1 to 8 positive sizes; got (1000000000000000000000000000000,)",
    ),
    "metadata: many sizes": (
        lambda m: describe(m, lambda d: d["input"].update(shape=[2] * 10**5)),
        "metadata: InputSpec: shape must be 1 to 8 positive sizes; got (2, 2, 2, 2, 2, 2, 2, 2, 2)",
    ),
    "metadata: convolution bomb": (
        lambda m: describe(m, lambda d: (d["input"].update(shape=[1, 2**16, 2**16]), bomb(d["layers"][0]))),
        "metadata: convolutions or windows of more than 33554432 values",
    ),
    "functions": (function, "functions, training graphs and sparse tensors are not read"),
    "no outputs": (no_outputs, "graph 'step': 0 outputs; the network has 3"),
    "old opset": (
        lambda m: setattr(m.opset_import[0], "version", 9),
        "opset 9; this version reads 13 to 26",
    ),
    "no metadata": (
        lambda m: m.ClearField("metadata_props"),
        "an ONNX file, but its metadata has no squat_deploy.network: not written by emit_qonnx",
    ),
    "metadata: no JSON": (
        lambda m: setattr(m.metadata_props[0], "value", "{"),
        "metadata: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "metadata: too much": (
        lambda m: setattr(m.metadata_props[0], "value", "[" * (2**25 + 1)),
        "metadata: more than 33554432 characters",
    ),
    "metadata: nested": (
        lambda m: setattr(m.metadata_props[0], "value", "[" * 10**6),
        "metadata: maximum recursion depth exceeded while decoding a JSON array from a unicode string",
    ),
    "metadata: names twice": (
        lambda m: describe(m, lambda d: d["layers"][2].update(name=d["layers"][0]["name"])),
        "two tensors named 'fc1.weight'; give the layers other names",
    ),
    "metadata: no layers": (
        lambda m: describe(m, lambda d: d.update(layers=[])),
        "metadata: a network has at least one layer",
    ),
    "metadata: too many values": (
        lambda m: describe(m, lambda d: d["layers"][2].update(outputs=2**31)),
        "metadata: fc2: gives 2147483648 values; at most 1048576",
    ),
    "metadata: an origin that is none": (
        lambda m: describe(m, lambda d: d["origin"].update(model="x")),
        "metadata: origin: model must be 64 hexadecimal digits",
    ),
    "metadata: other schema": (
        lambda m: describe(m, lambda d: d.update(schema=99)),
        "metadata: schema 99; this version reads 2",
    ),
    "metadata: field missing": (
        lambda m: describe(m, lambda d: d["layers"][1].pop("states")),
        "metadata: layers.1.neurons.states: Field required",
    ),
    "metadata: batch bomb": (
        lambda m: describe(m, lambda d: d.update(batch=10**12)),
        "metadata: batch 1000000000000 of 8 values",
    ),
    "metadata: table bomb": (
        lambda m: describe(m, lambda d: d["layers"][1].update(states=10**9)),
        "metadata: lif1: must have 2 to 1024 states",
    ),
    "metadata: weight range": (
        lambda m: describe(m, lambda d: d["layers"][0].update(weight_high=6)),
        "metadata: fc1: weight_high contradicts the arrays",
    ),
    "metadata: sizes": (
        lambda m: describe(m, lambda d: d["layers"][0].update(inputs=17)),
        "metadata: fc1: takes 17 values; gets 16",
    ),
    "metadata: initial state": (
        lambda m: describe(m, lambda d: d["layers"][1].update(initial_state=0)),
        "its digest is not that of its content; the file was altered",
    ),
    "metadata: input step": (
        lambda m: describe(m, lambda d: d["input"].update(step=0.5)),
        "its digest is not that of its content; the file was altered",
    ),
    "metadata: input range": (
        lambda m: describe(m, lambda d: d["input"].update(low=5, high=2)),
        "metadata: InputSpec: needs low < high within 16 bits; got 5 and 2",
    ),
    "metadata: steps": (
        lambda m: describe(m, lambda d: d.update(steps=0)),
        "metadata: steps must be 1 to 65535; got 0",
    ),
    "metadata: a boolean as a number": (
        lambda m: describe(m, lambda d: d.update(steps=True)),
        "metadata: steps: Input should be a valid integer",
    ),
    "metadata: a boolean as a size": (
        lambda m: describe(m, lambda d: d["input"].update(shape=[True, 16])),
        "metadata: input.shape.0: Input should be a valid integer",
    ),
    "metadata: a float as a size": (
        lambda m: describe(m, lambda d: d["layers"][0].update(inputs=16.0)),
        "metadata: layers.0.synapses.inputs: Input should be a valid integer",
    ),
    "metadata: digest": (
        lambda m: describe(m, lambda d: d.update(digest="0" * 64)),
        "its digest is not that of its content; the file was altered",
    ),
    "another tensor": (
        no_spikes,
        "node 'fc2.synaptic_sum.MatMulInteger' (MatMulInteger): takes 'input' in place of the result of Cast",
    ),
    "no offset": (offset, "tensor 'fc1.weight': its data file x.onnx cannot be read"),
    "metadata: a layer that is not there": (
        lambda m: describe(m, lambda d: d["layers"][2].update(takes=[9])),
        "metadata: fc2: takes layer 9, which it cannot",
    ),
    "metadata: a convolution": (
        lambda m: describe(m, lambda d: d["layers"][0].update(conv=POINTWISE)),
        "metadata: fc1: a convolution of other sizes",
    ),
    "metadata: 2 to 256 levels": (
        lambda m: describe(m, lambda d: d["layers"][1].update(levels=257)),
        "metadata: lif1: must have 2 to 256 levels",
    ),
    "metadata: one fire level a table": (
        lambda m: describe(m, lambda d: d["layers"][1].update(fire_level=[3, 3])),
        "metadata: lif1: must have one fire level a table",
    ),
    "metadata: one membrane a state": (
        lambda m: describe(m, lambda d: d["layers"][1].update(membranes=[[0.0]])),
        "metadata: lif1: must have one membrane a state",
    ),
    "metadata: an initial state that is one": (
        lambda m: describe(m, lambda d: d["layers"][1].update(initial_state=10**6)),
        "metadata: lif1: must have an initial state that is one",
    ),
    "metadata: a proof withdrawn": (
        lambda m: describe(m, lambda d: d["certificate"][0].update(proven=False)),
        "lif1: proven with combinations at risk, or the reverse",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_changed_models(name: str, small: sd.Network, tmp_path: Path) -> None:
    change, message = MODELS[name]
    model = sd.emit_qonnx(small)
    change(model)
    path = tmp_path / "x.onnx"
    path.write_bytes(model.SerializeToString())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileFormatError) as error:
        sd.load(path)
    assert str(error.value) == f"{path}: {message}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB: no claim was believed


BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "an ONNX file without nodes, or not an ONNX file"),
    "truncated": (lambda data: data[: len(data) // 2], "not an ONNX file, or truncated"),
    "text": (lambda _: b"this is not a model\n" * 99, "not an ONNX file, or truncated"),
    "ten million empty nodes": (
        lambda _: b"\x3a\x80\xda\xc4\x09" + b"\x0a\x00" * 10_000_000,
        "more than 2000000 fields, or 100 of them nested",
    ),
    "a field beyond the end": (lambda data: data + b"\x3a\x05\x0a", "not an ONNX file, or truncated"),
    "an endless integer": (lambda data: b"\x80" * 99, "not an ONNX file, or truncated"),
    "a name that is no text": (
        lambda data: data.replace(b"lif1.fires.G", b"\xffif1.fires.G"),
        "not an ONNX file, or truncated",
    ),
    "a safetensors file": (lambda _: b"\x40\0\0\0\0\0\0\0" + b"{" * 64, "not an ONNX file, or truncated"),
}


@pytest.mark.parametrize("name", BYTES)
def test_files_that_are_no_models(name: str, small: sd.Network, tmp_path: Path) -> None:
    change, message = BYTES[name]
    path = tmp_path / "x.onnx"
    path.write_bytes(change(sd.emit_qonnx(small).SerializeToString()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileFormatError) as error:
        sd.load(path)
    assert str(error.value) == f"{path}: {message}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_every_truncation_is_an_error(small: sd.Network, tmp_path: Path) -> None:
    data = sd.emit_qonnx(small, form="sequence").SerializeToString()
    path = tmp_path / "x.onnx"
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(FileFormatError):
            sd.load(path)


def test_every_flipped_byte_is_an_error_or_does_not_matter(small: sd.Network, tmp_path: Path) -> None:
    """Names and annotations may change; integers may not, and nothing but a FileFormatError comes out."""
    data = bytearray(sd.emit_qonnx(small, form="step").SerializeToString(deterministic=True))
    path, rng = tmp_path / "x.onnx", np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(data), 300).tolist():
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            assert sd.load(path).digest == small.digest
        except FileFormatError:
            refused += 1
    assert refused > 50


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileFormatError, match=r"none.onnx: cannot be read: No such file or directory$"):
        sd.load(tmp_path / "none.onnx")
    (tmp_path / "big.onnx").write_bytes(b"x" * 100)
    monkeypatch.setattr("squat_deploy.onnx_file.MAX_BYTES", 99)
    with pytest.raises(FileFormatError, match=r"big.onnx: larger than 99 bytes$"):
        sd.load(tmp_path / "big.onnx")


def test_data_beside_the_model_is_read(small: sd.Network, tmp_path: Path) -> None:
    model = sd.emit_qonnx(small)
    onnx.save(model, tmp_path / "x.onnx", save_as_external_data=True, location="x.data", size_threshold=0)
    assert sd.load(tmp_path / "x.onnx").digest == small.digest
    (tmp_path / "x.data").write_bytes((tmp_path / "x.data").read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"x\.data does not hold bytes"):
        sd.load(tmp_path / "x.onnx")


def test_a_link_out_of_the_folder_is_not_followed(small: sd.Network, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_bytes(b"0" * 128)
    (tmp_path / "inside" / "weights.bin").symlink_to(tmp_path / "secret")
    model = sd.emit_qonnx(small)
    absent(model)
    (tmp_path / "inside" / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=r"its data is in no file in the folder of the model: 'weights.bin'$"):
        sd.load(tmp_path / "inside" / "x.onnx")


def test_a_pipe_in_the_place_of_a_file(small: sd.Network, tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "weights.bin")
    model = sd.emit_qonnx(small)
    absent(model)
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match="in no file in the folder"):
        sd.load(tmp_path / "x.onnx")
    os.mkfifo(tmp_path / "y.onnx")
    with pytest.raises(FileFormatError, match=r"y\.onnx: not a file$"):
        sd.load(tmp_path / "y.onnx")


def test_many_subgraphs_take_linear_time(small: sd.Network, tmp_path: Path) -> None:
    model = sd.emit_qonnx(small)
    model.graph.initializer.extend(TensorProto(name=f"t{i}", data_type=1, dims=[0]) for i in range(50_000))
    empty = onnx.GraphProto(name="g")
    node(model, "lif1.spikes").attribute.add(name="many", type=onnx.AttributeProto.GRAPHS, graphs=[empty] * 10_000)
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match="attribute many is"):
        sd.load(tmp_path / "x.onnx")


def test_tables_beyond_the_last(tmp_path: Path) -> None:
    """A network with a table a neuron; one neuron's first row points past all of them."""
    drawn = next(n for n in map(lowered_tables, range(100)) if n is not None)
    model = sd.emit_qonnx(drawn)
    name = next(t.name for t in model.graph.initializer if t.name.endswith("first_row"))
    replace(model, name, lambda a: a + 10**6)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(FileFormatError, match=r"every neuron must have a table$"):
        sd.load(tmp_path / "x.onnx")


def lowered_tables(seed: int) -> sd.Network | None:
    """The network of a seed, if it has several tables in its first layer."""
    drawn = draw(seed)
    network = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
    return network if len(network.neurons[0].thresholds) > 1 else None


def test_a_changed_body_of_the_scan(small: sd.Network, tmp_path: Path) -> None:
    model = sd.emit_qonnx(small, form="sequence")
    scan = next(n for n in model.graph.node if n.op_type == "Scan")
    body = next(a.g for a in scan.attribute if a.name == "body")
    next(n for n in body.node if n.output[0] == "scores_next").op_type = "Sub"
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(FileFormatError, match=r"node 'scores_next.Add' \(Sub\): the network has Add here$"):
        sd.load(tmp_path / "x.onnx")


def test_finn_arrays_must_be_integers(small: sd.Network, tmp_path: Path) -> None:
    model = sd.emit_qonnx(small, form="finn")
    replace(model, "fc1.weight", lambda a: a + np.float32(0.5))
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(FileFormatError, match=r"tensor 'fc1.weight': must hold integers$"):
        sd.load(tmp_path / "x.onnx")


Changed = Callable[[GraphProto], object]


def twin_scan(graph: GraphProto) -> None:
    """One of the results comes from another Scan, whose thresholds are other ones."""
    scan = next(n for n in graph.node if n.op_type == "Scan")
    twin = NodeProto()
    twin.CopyFrom(scan)
    twin.name = "twin"
    body = next(a.g for a in twin.attribute if a.name == "body")
    thresholds = next(t for t in body.initializer if t.name == "lif1.thresholds")
    thresholds.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(thresholds) + 1, thresholds.name))
    for place, name in enumerate(twin.output):
        (twin if place < len(twin.output) - 1 else scan).output[place] = f"{name}.other"
    graph.node.insert(list(graph.node).index(scan), twin)


def folded(graph: GraphProto) -> None:
    """States at the start that are stored, and not all as they should be."""
    made = next(n for n in graph.node if n.name == "lif1.state_initial.ConstantOfShape")
    values = np.zeros((1, 8), dtype=np.int32)
    graph.initializer.append(numpy_helper.from_array(values, made.output[0]))
    graph.node.remove(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            twin_scan,
            "node 'lif1.thresholds_of_state.Gather' (Gather): takes 'lif1.thresholds', another copy of the array "
            "'lif1.thresholds' that differs",
        ),
        (folded, "node 'lif1.state_final.Scan' (Scan): takes 'lif1.state_initial', which is not filled with 4"),
    ],
)
def test_changed_sequences(change: Changed, message: str, small: sd.Network, tmp_path: Path) -> None:
    model = sd.emit_qonnx(small, form="sequence", trace=True)
    change(model.graph)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(FileFormatError) as error:
        sd.load(tmp_path / "x.onnx")
    assert str(error.value) == f"{tmp_path}/x.onnx: {message}"
