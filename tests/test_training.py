"""Training: data sets, the hoisted sequence loop, checkpoints that resume to the same bits."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import squat_deploy as sd
from squat_deploy.errors import ConfigError, DatasetError, FileFormatError
from squat_deploy.lab import bundled, loop
from squat_deploy.lab.datasets import Images, Samples, available, fashion_mnist, read_idx
from squat_deploy.lab.loop import TrainConfig, train, trained_model
from squat_deploy.lab.models import conv_lif_net, dense_lif_net
from squat_deploy.snn.checkpoint import load_weights, save_model
from squat_deploy.snn.levels import level_table
from squat_deploy.snn.running import run_model, run_sequence
from squat_deploy.snn.settling import settle_norms


def images(count: int, seed: int) -> Samples:
    """Two classes that differ in which half is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 60, (count, 28, 28))
    pixels[labels == 0, :14] += 120
    pixels[labels == 1, 14:] += 120
    return Images(pixels.astype(np.uint8), labels.astype(np.int64)).samples()


CONFIG = TrainConfig(sizes=(784, 12, 2), epochs=4, float_epochs=1, batch=50, steps=4, learning_rate=3e-3)


def test_learns_and_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, test = images(400, 0), images(200, 1)
    model, history = train(CONFIG, training, test, tmp_path / "whole", quiet=True)
    assert history[-1]["accuracy"] > 0.9 and len(history) == 4

    def interrupted(*args: object, **kwargs: object) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)  # type: ignore[arg-type]

    calls: list[int] = []
    evaluate = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, training, test, tmp_path / "cut", quiet=True)
    monkeypatch.setattr(loop, "evaluate", evaluate)
    resumed, again = train(CONFIG, training, test, tmp_path / "cut", resume=True, quiet=True)
    assert again == history
    for key, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    data = images(50, 0)
    train(CONFIG.model_copy(update={"epochs": 2}), data, data, tmp_path, quiet=True)
    with pytest.raises(ConfigError, match="exists; go on with --resume, or choose another folder"):
        train(CONFIG, data, data, tmp_path, quiet=True)
    with pytest.raises(ConfigError, match="was written with other options"):
        train(CONFIG, data, data, tmp_path, resume=True, quiet=True)
    checkpoint = tmp_path / loop.CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="not a checkpoint of this training run"):
        train(CONFIG, data, data, tmp_path, resume=True, quiet=True)
    with pytest.raises(ConfigError, match="4 of 4 epochs in float leave none with quantization"):
        train(CONFIG.model_copy(update={"float_epochs": 4}), data, data, tmp_path / "other", quiet=True)


def test_hoisted_loop_equals_the_model() -> None:
    """Weights quantized once a sequence and a constant prefix run once give the spikes of the plain model."""
    torch.manual_seed(0)
    model = dense_lif_net((20, 15, 5), state_bits=3).eval()
    inputs = torch.rand(30, 20)
    with torch.no_grad():
        plain = run_model(model, inputs, 6)["lif2"].spikes
        assert torch.equal(run_sequence(model, inputs, 6), torch.stack(plain))


def test_gradients_flow_through_weights_and_states() -> None:
    model = dense_lif_net((20, 15, 5))
    run_sequence(model, torch.rand(8, 20), 4).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def write_idx(path: Path, array: np.ndarray) -> None:
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def test_missing_data_says_how_to_get_it(tmp_path: Path) -> None:
    assert not available(tmp_path)
    with pytest.raises(DatasetError) as caught:
        fashion_mnist("test", tmp_path)
    for way in ("apt install dataset-fashion-mnist", "--data DIR", "SQUAT_FASHION_MNIST=DIR", "--download"):
        assert way in str(caught.value)


def test_other_data_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((3, 28, 28)))
    with pytest.raises(DatasetError, match="not the published Fashion-MNIST file"):
        fashion_mnist("test", tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        fashion_mnist("test", tmp_path)


@given(sizes=st.lists(st.integers(0, 4), max_size=9), data=st.binary(max_size=64), cut=st.booleans())
@settings(max_examples=200, deadline=None)
def test_idx_files_are_read_whole_or_refused(sizes: list[int], data: bytes, cut: bool) -> None:
    """Of any rank and any sizes; data that is not of these sizes is refused."""
    header = b"\x00\x00\x08" + bytes([len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)
    data = data if cut else data[: math.prod(sizes)]
    if 1 <= len(sizes) <= 8 and len(data) == math.prod(sizes):
        read = read_idx(header + data, "x")
        assert read.shape == tuple(sizes) and read.tobytes() == data
    else:
        with pytest.raises(DatasetError):
            read_idx(header + data, "x")


@given(st.binary(max_size=64).filter(lambda data: data[:3] != b"\x00\x00\x08"))
def test_what_is_no_idx_file(content: bytes) -> None:
    with pytest.raises(DatasetError, match="x: not an IDX file of unsigned bytes"):
        read_idx(content, "x")


def test_bundled_slice_is_the_real_test_set() -> None:
    real, labels = bundled.images()
    assert real.shape == (256, 784) and labels.shape == (256,)
    if available():
        test = fashion_mnist("test")
        assert np.array_equal(real, test.real()[:256]) and np.array_equal(labels, test.labels[:256])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_checkpoints_of_either_kind(suffix: str, tmp_path: Path) -> None:
    source, target = dense_lif_net((6, 4)), dense_lif_net((6, 4))
    path = tmp_path / f"m{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": source.state_dict()}, path)
    else:
        save_model(source, path)
    load_weights(target, path)
    assert torch.equal(source.fc1.weight, target.fc1.weight)
    with pytest.raises(FileFormatError, match="cannot be loaded into this model"):
        load_weights(dense_lif_net((6, 5)), path)
    path.write_bytes(b"nonsense")
    with pytest.raises(FileFormatError, match="cannot be loaded into this model"):
        load_weights(target, path)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "owned",)

    torch.save({"weight": Evil()}, tmp_path / "m.pt")
    with pytest.raises(FileFormatError):
        load_weights(dense_lif_net((6, 4)), tmp_path / "m.pt")
    assert not (tmp_path / "owned").exists()


def test_norms_settle_clear_of_decisions() -> None:
    """A decision within float32 rounding is moved away, by less than anyone could measure."""
    model = conv_lif_net((1, 3, 2), 12, kernel=3, input_bits=2, state_bits=4).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        model.norm1.running_mean.zero_()
        model.norm1.running_var.fill_(1 - 1e-5)  # the norm changes nothing: decisions lie on the grid
        for module in (model.conv1, model.fc):
            module.weight.copy_(torch.randint(-7, 8, module.weight.shape) / 8)
    spec = sd.InputSpec((1, 6, 6), 0, 3, 0.25)
    network = sd.lower(model, spec, 3, allow_unproven=True)
    if network.certificate.proven:
        model.norm1.bias.data += float(network.certificate.layers[0].margin or 0)
        network = sd.lower(model, spec, 3, allow_unproven=True)
    assert not network.certificate.proven
    before = model.norm1.bias.clone()
    for _ in range(5):
        if not (moved := settle_norms(model, network)):
            break
        assert all(row.startswith("lif1: ") for row in moved)
        network = sd.lower(model, spec, 3, allow_unproven=True)
    assert network.certificate.proven and settle_norms(model, network) == []
    assert 0 < float((model.norm1.bias - before).abs().max()) < 1e-4


def test_dense_networks_with_norms_are_lowered(tmp_path: Path) -> None:
    """The norm moves the thresholds of every hidden neuron; the last layer has none."""
    config = CONFIG.model_copy(
        update={"norms": True, "weight_scale": "learned", "kind": "rest", "learned": True, "above": 2}
    )
    model, history = train(config, images(200, 0), images(50, 1), tmp_path / "run", quiet=True)
    assert [name for name, _ in model.named_children()] == ["0", "1", "fc1", "norm1", "lif1", "fc2", "lif2"]
    assert history[-1]["accuracy"] > 0.9 and model.lif1.state_quant.above == 2
    spec = sd.InputSpec((1, 28, 28), 0, 15, 2.0**-4)
    for _ in range(3):
        network = sd.lower(model, spec, config.steps, allow_unproven=True)
        if network.certificate.proven or not settle_norms(model, network):
            break
    assert network.certificate.proven and len(np.unique(network.neurons[0].thresholds, axis=0)) > 1
    inputs = np.random.default_rng(0).integers(0, 16, (20, 1, 28, 28))
    assert sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees
    for options, message in (
        ({"net": "recurrent"}, "norms: stand before hidden neurons of dense nets; got recurrent"),
        ({"sizes": (784, 10)}, "norms: stand before hidden neurons"),
        ({"weight_scale": "shared"}, "norms: would change the steps"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainConfig(norms=True, **options)
    with pytest.raises(ConfigError, match="every batch needs two samples or more; got 51 in batches of 50"):
        train(config, images(51, 0), images(50, 1), tmp_path / "one", quiet=True)
    assert not (tmp_path / "one").exists()


def test_levels_above_the_threshold_need_a_table_that_has_them() -> None:
    with pytest.raises(ValueError, match="above: is of rest levels; got kind uniform"):
        TrainConfig(above=2, kind="uniform")
    with pytest.raises(ValueError, match="above: limits fitted decides it"):
        TrainConfig(above=2, kind="rest", limits="fitted", float_state_epochs=1)
    assert TrainConfig(above=2, kind="uniform", state_bits=32).above == 2  # studies have it in what all cells share


def test_trainings_go_on_where_loops_cannot_be_compiled(
    compiler: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of Python's headers, say: the same bits, more slowly, and the reason is told."""
    config, data = CONFIG.model_copy(update={"beta": 0.8125}), (images(100, 0), images(50, 1))  # not compiled before
    expected, _ = train(config, *data, tmp_path / "eager", quiet=True, compiled=False)
    monkeypatch.setattr(loop, "_LONG_RUN", 1)
    # Not by monkeypatch, which leaves these settings hidden to all that is compiled later.
    broken = torch._inductor.config.patch({"cpp.cxx": ("false",), "force_disable_caches": True})
    with broken, pytest.warns(UserWarning, match="several times slower: loops cannot be compiled: InvalidCxxCompiler"):
        model, history = train(config, *data, tmp_path / "run", quiet=True)
    assert len(history) == config.epochs
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in expected.state_dict().items())


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_devices_draw_the_same_batches(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU is given does not depend on it; there are none where the tests usually run."""
    seen: list[float] = []
    step = loop.train_step

    def watched(model: object, optimizer: object, inputs: torch.Tensor, *args: object, **kwargs: object) -> object:
        assert inputs.device.type == device
        seen.append(float(inputs.double().sum()))
        return step(model, optimizer, inputs, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", watched)
    training, test = images(100, 0), images(50, 1)
    model, history = train(CONFIG, training, test, tmp_path / "run", quiet=True, device=device)
    torch.manual_seed(CONFIG.seed)
    CONFIG.model()
    every = torch.from_numpy(training.inputs), torch.from_numpy(training.labels)
    expected = [float(values.double().sum()) for values, _ in loop._batches(*every, CONFIG)]
    assert seen[: len(expected)] == expected and len(history) == CONFIG.epochs
    assert next(model.parameters()).device.type == "cpu"


@pytest.mark.parametrize("float_epochs", [0, 1])
def test_ranges_are_calibrated_when_quantization_begins(float_epochs: int, tmp_path: Path) -> None:
    update = {"limits": "calibrated", "float_epochs": float_epochs, "epochs": 2, "state_bits": 4, "kind": "uniform"}
    config = CONFIG.model_copy(update=update)
    training = images(200, 0)
    model, _ = train(config, training, images(50, 1), tmp_path / "run", quiet=True)
    tables = [model.lif1.state_quant.levels, model.lif2.state_quant.levels]
    fixed = level_table(4, "uniform")
    assert not torch.equal(*tables) and not any(np.array_equal(table, fixed) for table in tables)
    assert all(len(table) == 16 and table[-1] > 1 and bool((table.diff() > 0).all()) for table in tables)
    again, _ = trained_model(tmp_path / "run" / loop.MODEL)
    assert torch.equal(again.lif1.state_quant.levels, tables[0]) and again.lif1.state_quant.is_consistent()
    with pytest.raises(ValueError, match="limits calibrated: rest levels have a range of their own"):
        TrainConfig(limits="calibrated", kind="rest")


def test_levels_are_fitted_after_epochs_with_float_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are quantized from the first epoch; the learning rate begins anew with the states."""
    seen: list[tuple[bool, float, list[float]]] = []
    step = loop.train_step

    def watched(model: torch.nn.Module, optimizer: torch.optim.Optimizer, *args: object, **options: object) -> object:
        table = model.lif1.state_quant
        assert options["quantized"]
        seen.append((table.enabled, optimizer.param_groups[0]["lr"], table.levels.tolist()))
        return step(model, optimizer, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", watched)
    update = {"limits": "fitted", "float_epochs": 0, "float_state_epochs": 2, "schedule": "restarted", "learned": True}
    config = CONFIG.model_copy(update={**update, "surrogate_at": "membrane", "kind": "rest", "clipped": True})
    model, _ = train(config, images(200, 0), images(50, 1), tmp_path / "run", quiet=True)
    assert [enabled for enabled, _, _ in seen] == [False] * 8 + [True] * 8
    assert seen[0][1] == seen[8][1] == config.learning_rate > seen[7][1]
    assert seen[0][2] == level_table(2, "rest").tolist() != seen[8][2]
    again, _ = trained_model(tmp_path / "run" / loop.MODEL)
    assert torch.equal(again.lif1.state_quant.levels, model.lif1.state_quant.levels)
    with pytest.raises(
        ValueError, match=r"limits fitted: makes tables of 2, 4, 8 \.\.\. levels; ternary states have 3"
    ):
        TrainConfig(limits="fitted", kind="ternary")


def test_a_part_of_the_training_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    step = loop.train_step

    def watched(model: object, optimizer: object, inputs: torch.Tensor, *args: object, **kwargs: object) -> object:
        sizes.append(len(inputs))
        return step(model, optimizer, inputs, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", watched)
    config = CONFIG.model_copy(update={"samples": 60, "epochs": 1, "float_epochs": 0})
    train(config, images(200, 0), images(50, 1), tmp_path / "run", quiet=True)
    assert sizes == [50, 10]
