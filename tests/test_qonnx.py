"""The ONNX forms: what is in them, that others' tools accept them, and that they read back to the same Network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxoptimizer
import pytest
from onnx import helper, numpy_helper
from qonnx.core.datatype import DataType

import squat_deploy as sd
from squat_deploy.backends.qonnx.builder import container, datatype
from squat_deploy.backends.qonnx.cost import step_cost
from squat_deploy.backends.qonnx.emitting import FORMS
from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.backends.qonnx.layers.base import INTEGERS
from squat_deploy.engines.graphs import onnxruntime_runner
from squat_deploy.errors import ConfigError, ExportError, NotProvenError
from squat_deploy.network.layers import Conv2d, Dense
from tests.drawing import draw
from tests.graphs import check_every_form, compare, graphs_of

SEEDS = (2, 4, 5, 6, 7, 8, 11, 12, 13, 15, 17, 19, 20)  # of 24, every option that these have


def lowered(seed: int) -> tuple[sd.Network, np.ndarray]:
    drawn = draw(seed)
    try:
        return sd.lower(drawn.model, drawn.spec, drawn.steps), drawn.inputs
    except NotProvenError:
        return sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True), drawn.inputs


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_in_every_form(seed: int, tmp_path: Path) -> None:
    network, inputs = lowered(seed)
    assert check_every_form(network, inputs, tmp_path) > 0


def test_bundled_model_in_every_form(fashion: sd.Network, rng: np.random.Generator, tmp_path: Path) -> None:
    inputs = rng.integers(0, 16, (1, 784))
    assert check_every_form(fashion, inputs, tmp_path) == 5 * (2 * 266 * 10 + 266 * 10 + 10 + 1)


@pytest.mark.parametrize("form", FORMS)
def test_every_annotation_is_exact(form: str, small: sd.Network, rng: np.random.Generator) -> None:
    """Each annotated array holds values of its datatype, and one bit less would not do; so do the sums' ranges."""
    model = sd.emit_qonnx(small, form=form, trace=True)
    seen = set()
    for graph in graphs_of(model.graph):
        kinds = {a.tensor_name: a.quant_parameter_tensor_names[0].value for a in graph.quantization_annotation}
        for tensor in graph.initializer:
            values = numpy_helper.to_array(tensor)
            assert kinds[tensor.name] == datatype((int(values.min()), int(values.max()))), tensor.name
            seen.add(tensor.name)
        for dense, row in zip(small.layers[::2], small.certificate.layers, strict=True):
            name = f"{dense.name}.synaptic_sum"
            assert kinds.get(name, sums := datatype((row.sum_low, row.sum_high))) == sums
            seen |= {name} & kinds.keys()
    assert {"fc1.weight", "lif1.thresholds", "lif2.fire_level", "fc2.synaptic_sum"} <= seen


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        ((0, 1), "BINARY"), ((0, 2), "UINT2"), ((0, 255), "UINT8"), ((-1, 0), "INT1"), ((-8, 7), "INT4"),
        ((-8, 8), "INT5"), ((-66765, 13680), "INT18"), ((3, 3), "UINT2"), ((-5, -2), "INT4"),
        ((-1, -1), "INT1"), ((-8, -8), "INT4"), ((-128, -128), "INT8"),
    ],
)  # fmt: skip
def test_datatype_is_the_narrowest(bounds: tuple[int, int], name: str) -> None:
    assert datatype(bounds) == name
    kind = DataType[name]
    assert kind.allowed(bounds[0]) and kind.allowed(bounds[1])
    if kind.bitwidth() > 1:
        narrower = DataType[name.replace(str(kind.bitwidth()), str(kind.bitwidth() - 1))]
        assert not (narrower.allowed(bounds[0]) and narrower.allowed(bounds[1]))


def test_the_metadata_says_what_the_tensors_do_not(small: sd.Network) -> None:
    import json

    model = sd.emit_qonnx(small, form="sequence")
    document = json.loads({entry.key: entry.value for entry in model.metadata_props}["squat_deploy.network"])
    assert document["digest"] == small.digest and document["steps"] == 6
    assert document["input"] == {"shape": [16], "low": 0, "high": 15, "step": 0.0625, "encoding": "direct"}
    assert document["readout"] == "count"
    assert document["certificate"][0]["proven"] is True
    assert np.array_equal(np.array(document["layers"][1]["membranes"], "f4"), small.neurons[0].membranes)


def test_emitting_twice_gives_equal_bytes(small: sd.Network, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        sd.emit_qonnx(small, tmp_path / name, form="sequence", trace=True)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("form", ["step", "sequence"])
def test_one_file_takes_any_batch(form: str, small: sd.Network, rng: np.random.Generator) -> None:
    model = sd.emit_qonnx(small, form=form, trace=True)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [output.type for output in inferred.graph.output] == [output.type for output in model.graph.output]
    runner = onnxruntime_runner(model)
    for batch in (1, 5):
        compare(small, model, runner, rng.integers(0, 16, (batch, 16)), form)


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("batch", [None, 2])
def test_folded_by_onnxoptimizer(
    form: str, batch: int | None, small: sd.Network, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Constant folding, dead code and identity elimination: still the same bits, still the same Network."""
    folded = onnxoptimizer.optimize(sd.emit_qonnx(small, form=form, batch=batch, trace=True))
    onnx.save(folded, tmp_path / "folded.onnx")
    assert sd.load(tmp_path / "folded.onnx").digest == small.digest
    compare(small, folded, onnxruntime_runner(folded), rng.integers(0, 16, (2, 16)), form)


def test_folded_initial_state_of_any_batch(small: sd.Network, tmp_path: Path) -> None:
    """Whoever fixes the batch of a symbolic graph makes constants of its initial states."""
    model = sd.emit_qonnx(small, form="sequence")
    start = next(node for node in model.graph.node if node.output[0] == "lif1.state_initial")
    start.op_type, start.output[0] = "Identity", "unused"
    initial = np.full((3, 8), small.neurons[0].initial_state, np.int32)
    model.graph.initializer.append(numpy_helper.from_array(initial, "lif1.state_initial"))
    model.graph.node.remove(start)
    onnx.save(model, tmp_path / "x.onnx")
    assert sd.load(tmp_path / "x.onnx").digest == small.digest


def test_everything_starts_from_the_file(small: sd.Network, rng: np.random.Generator, tmp_path: Path) -> None:
    """Certificate, name and HLS project are those of the Network itself."""
    sd.save(small, tmp_path / "net.safetensors")
    direct = sd.emit_hls(sd.load(tmp_path / "net.safetensors"), tmp_path / "direct")
    for form in FORMS:
        sd.emit_qonnx(small, tmp_path / f"{form}.onnx", form=form)
        loaded = sd.load(tmp_path / f"{form}.onnx")
        assert (loaded.certificate, loaded.name, loaded.input) == (small.certificate, small.name, small.input)
        assert all(np.array_equal(a.membranes, b.membranes) for a, b in zip(loaded.neurons, small.neurons, strict=True))
        project = sd.emit_hls(loaded, tmp_path / form)
        for file in (path for path in direct.rglob("*") if path.is_file()):
            assert (project / file.relative_to(direct)).read_bytes() == file.read_bytes(), file


def test_cost_equals_a_hand_count(fashion: sd.Network) -> None:
    """784-256-10, 4-bit weights; 5 states x 3 thresholds a layer, INT10 and INT7; one 2-bit fire level a layer."""
    cost = step_cost(fashion)
    assert cost.macs == 784 * 256 + 256 * 10
    assert cost.weight_bits == 4 * (784 * 256 + 256 * 10)
    assert [(n.thresholds.min(), n.thresholds.max()) for n in fashion.neurons] == THRESHOLD_RANGES
    assert cost.threshold_bits == 5 * 3 * 10 + 2 + 5 * 3 * 7 + 2
    assert cost.bit_operations == 4 * 4 * 784 * 256 + 4 * 1 * 256 * 10


THRESHOLD_RANGES = [(-134, 264), (-16, 33)]  # INT10 and INT7


@pytest.mark.parametrize(
    ("low", "high", "weight", "operator"),
    [
        (0, 255, 64, "MatMulInteger"),  # 2 * 255 * 64 fits 16 bits
        (0, 255, 65, "MatMul"),
        (0, 128, 127, "MatMulInteger"),
        (0, 1, 127, "MatMulInteger"),
        (0, 1, 200, "MatMul"),
        (-1, 1, 64, "MatMulInteger"),
        (-1, 1, 65, "MatMul"),
        (0, 256, 1, "MatMul"),
        (-129, 0, 1, "MatMul"),
    ],
)
def test_eight_bit_products_only_where_every_cpu_is_exact(low: int, high: int, weight: int, operator: str) -> None:
    """CPUs without VNNI saturate pairs of 8-bit products at 16 bits, signed inputs moved by 128."""
    assert plan_layers(one_layer(low, high, [[weight, -1]]))[0].product(INTEGERS).operator == operator


def one_layer(low: int, high: int, weight: list[list[int]], conv: bool = False) -> sd.Network:
    array = np.array(weight, dtype=np.int64)
    if conv:
        synapses = Conv2d("conv", array.reshape(1, 1, 1, -1), np.zeros(1, np.int64), (1, 3, 4), padding=(0, 1))
        shape = synapses.input_shape
    else:
        synapses, shape = Dense("fc", array, np.zeros(len(array), np.int64)), array.shape[1:]
    lows, highs = synapses.sum_range(low, high)
    middle = int((lows.min() + highs.max()) // 2)
    neuron = sd.network.Neuron(
        name="lif",
        thresholds=np.array([[[middle, middle + 1], [middle - 1, middle]]]).clip(lows.min(), highs.max() + 1),
        successor=np.array([[[0, 1, 0], [1, 0, 1]]]),
        fire_level=np.array([1]),
        table=np.zeros(synapses.outputs, dtype=np.int64),
        initial_state=1,
        membranes=np.zeros((1, 2), dtype=np.float32),
    )
    return sd.Network(sd.InputSpec(shape, low, high), (synapses, neuron), 3, certificate_of(synapses, neuron))


def certificate_of(synapses: object, neuron: sd.network.Neuron) -> sd.Certificate:
    from squat_deploy.network.certificate import LayerProof

    return sd.Certificate((LayerProof("lif", True, "by hand", 0, 0, 1, 2, 3, 1, None, 0.0, 0, True),))


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "weights", "element"),
    [
        (0, 65535, [[32767, 32767]], "int64"),
        (0, 65535, [[100, -7]], "int32"),
        (-32768, 32767, [[3, 5]], "int32"),
        (0, 255, [[127, 127]], "int32"),
        (-128, 127, [[127, -128]], "int32"),
        (0, 255, [[64, -64]], "int32"),
        (-3, -1, [[1, 2]], "int32"),
    ],
)
def test_wide_integers(low: int, high: int, weights: list[list[int]], element: str, conv: bool, tmp_path: Path) -> None:
    """Beyond 8 bits, and beyond 32: still exact in every form that can hold them."""
    network = one_layer(low, high, weights, conv)
    inputs = np.random.default_rng(0).integers(low, high + 1, (4, *network.input.shape))
    inputs[0], inputs[1] = low, high
    assert check_every_form(network, inputs, tmp_path) > 0
    model = sd.emit_qonnx(network, form="step", trace=True)
    compare(network, model, onnxruntime_runner(model), inputs, "step")
    sums = next(value for value in model.graph.output if value.name.endswith("synaptic_sum"))
    assert helper.tensor_dtype_to_np_dtype(sums.type.tensor_type.elem_type).name == element


def test_a_threshold_above_all_sums_of_32_bits(tmp_path: Path) -> None:
    """The largest sum fits int32, the threshold behind it does not: the container must be int64."""
    network = one_layer(0, 1, [[1]])
    dense, neuron = network.layers
    dense = dataclasses.replace(dense, bias=np.array([2**31 - 2]))
    neuron = dataclasses.replace(neuron, thresholds=np.array([[[2**31 - 1, 2**31], [2**31 - 2, 2**31]]]))
    network = dataclasses.replace(network, layers=(dense, neuron))
    assert check_every_form(network, np.array([[0], [1]]), tmp_path) > 0


def test_planes_of_another_shape_than_the_input(tmp_path: Path) -> None:
    """A convolution numbers its inputs; how the input names its axes does not matter."""
    for shape in ((4, 3, 1), (2, 6), (12,), (1, 1, 3, 4)):
        network = dataclasses.replace(one_layer(0, 255, [[3, -5]], conv=True), input=sd.InputSpec(shape, 0, 255))
        inputs = np.random.default_rng(0).integers(0, 256, (1, *shape))
        assert check_every_form(network, inputs, tmp_path) > 0


def test_more_tables_than_neurons(tmp_path: Path) -> None:
    network = one_layer(0, 3, [[1, -1]])
    neuron = network.neurons[0]
    arrays = {
        k: np.repeat(getattr(neuron, k), 3, axis=0) for k in ("thresholds", "successor", "fire_level", "membranes")
    }
    neuron = dataclasses.replace(neuron, **arrays | {"fire_level": np.array([2, 1, 0]), "table": np.array([1])})
    network = dataclasses.replace(network, layers=(network.layers[0], neuron))
    assert check_every_form(network, np.array([[3, 0]]), tmp_path) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"membranes": np.full((1, 2), np.nan, np.float32)}, "qonnx: lif: membranes must be finite"),
        ({"thresholds": np.full((1, 2, 2), 2**40)}, "qonnx: lif: thresholds must lie in the reachable range of sums"),
    ],
)
def test_networks_that_break_a_rule_are_not_written(change: dict[str, np.ndarray], message: str) -> None:
    network = one_layer(0, 3, [[1, -1]])
    layers = (network.layers[0], dataclasses.replace(network.neurons[0], **change))
    with pytest.raises(ExportError) as error:
        sd.emit_qonnx(dataclasses.replace(network, layers=layers))
    assert str(error.value) == message


def test_a_wrong_class_is_noticed(small: sd.Network, rng: np.random.Generator) -> None:
    model = sd.emit_qonnx(small, form="sequence", trace=True)
    next(n for n in model.graph.node if n.op_type == "ArgMax").op_type = "ArgMin"
    with pytest.raises(AssertionError, match="differs first at sequence 0: class "):
        compare(small, model, onnxruntime_runner(model), rng.integers(0, 16, (5, 16)), "sequence")


def test_deep_networks_are_read_in_linear_time(small: sd.Network, tmp_path: Path) -> None:
    """The body of the Scan is compared once, not once an output."""
    one = one_layer(0, 1, [[1]])
    row = one.certificate.layers[0]
    deep = dataclasses.replace(one, layers=one.layers * 300, wires=(), certificate=sd.Certificate((row,) * 300))
    sd.emit_qonnx(deep, tmp_path / "deep.onnx", form="sequence", trace=True)
    assert sd.load(tmp_path / "deep.onnx").digest == deep.digest


def test_finn_refuses_what_float32_cannot_hold() -> None:
    with pytest.raises(ExportError) as error:
        sd.emit_qonnx(one_layer(0, 65535, [[300, 300]]), form="finn")
    assert str(error.value) == (
        "fc: the form finn holds integers in float32, exact below 2**24; its partial sums reach 39321000; "
        "use the form step or sequence"
    )


def test_layers_may_share_names_or_have_odd_ones(small: sd.Network, tmp_path: Path) -> None:
    odd = tuple(dataclasses.replace(layer, name="a layer/of\nmine") for layer in small.layers)
    rows = tuple(dataclasses.replace(row, layer="a layer/of\nmine") for row in small.certificate.layers)
    network = dataclasses.replace(small, layers=odd, certificate=sd.Certificate(rows))
    model = sd.emit_qonnx(network, tmp_path / "x.onnx")
    assert {"a_layer_of_mine.weight", "a_layer_of_mine_4.thresholds"} <= {t.name for t in model.graph.initializer}
    assert [layer.name for layer in sd.load(tmp_path / "x.onnx").layers] == ["a layer/of\nmine"] * 4


def test_options_are_checked(small: sd.Network) -> None:
    with pytest.raises(ConfigError, match="form must be one of step, sequence, finn; got 'scan'"):
        sd.emit_qonnx(small, form="scan")
    with pytest.raises(ConfigError, match="batch must be 1 to 8388608; got 0"):
        sd.emit_qonnx(small, batch=0)
    with pytest.raises(ConfigError, match="the form finn has batch 1, since thresholds follow the state; got batch 2"):
        sd.emit_qonnx(small, form="finn", batch=2)


def test_containers() -> None:
    names = [helper.tensor_dtype_to_np_dtype(container(b)).name for b in ((0, 255), (-128, 127), (0, 256), (-129, 0))]
    assert names == ["uint8", "int8", "int32", "int32"]
