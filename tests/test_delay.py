"""Delays, from the trained model to every executor: exact by construction, so always proven."""

from __future__ import annotations

import itertools
import sys
import types
from pathlib import Path

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from snntorch import utils
from torch import Tensor, nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, FileFormatError, LoweringError, SquatWarning
from squat_deploy.network import Neuron
from squat_deploy.network.layers import Delay as DelayLayer
from squat_deploy.network.layers import Dense
from squat_deploy.readers.nir.model import NirOptions, read_nir
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.quantizers import state_quant

SPEC = sd.InputSpec((6,), 0, 3, encoding="sequence")
STEPS = 9


def linear(inputs: int, outputs: int, *, bias: bool = False) -> QuantLinear:
    quant = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    return QuantLinear(inputs, outputs, bias=bias, **quant)


def leaky(**options: object) -> snn.Leaky:
    return snn.Leaky(beta=0.5, state_quant=state_quant(4), init_hidden=True, **options)


def inputs_of(network: sd.Network, samples: int = 5) -> np.ndarray:
    spec = network.input
    lead = (samples,) if spec.encoding == "direct" else (network.steps, samples)
    return np.random.default_rng(0).integers(spec.low, spec.high + 1, (*lead, *spec.shape))


def chain(delay: nn.Module, *, behind: str = "spikes", bias: bool = False) -> nn.Sequential:
    torch.manual_seed(1)
    first, second = linear(6, 8, bias=bias), linear(8, 4)
    parts = {
        "inputs": [delay, first, leaky(), second, leaky()],
        "currents": [first, delay, leaky(), second, leaky()],
        "spikes": [first, leaky(), delay, second, leaky()],
    }
    return nn.Sequential(*parts[behind]).eval()


DELAYS = {"none": 0, "one": 1, "all alike": 3, "beyond the sequence": 12, "each its own": [0, 5, 1, 1, 3, 0, 2, 7]}


@pytest.mark.parametrize("name", DELAYS)
@pytest.mark.parametrize("behind", ["inputs", "currents", "spikes"])
def test_every_executor(name: str, behind: str, compiler: None, tmp_path: Path) -> None:
    steps = DELAYS[name][:6] if behind == "inputs" and isinstance(DELAYS[name], list) else DELAYS[name]
    model = chain(Delay(steps), behind=behind)
    network = sd.lower(model, SPEC, STEPS)
    assert network.certificate.proven
    sd.save(network, tmp_path / "net.safetensors")
    assert sd.load(tmp_path / "net.safetensors").digest == network.digest
    agreement = sd.verify(network, model, inputs_of(network))
    assert agreement.agrees and not agreement.not_run, agreement
    assert {row.executor for row in agreement.rows} == {"torch", "numpy", "c++", "onnxruntime", "qonnx"}
    for form in ("step", "sequence", "finn"):
        sd.emit_qonnx(network, tmp_path / f"{form}.onnx", form=form)
        assert sd.load(tmp_path / f"{form}.onnx").digest == network.digest


def test_a_spike_arrives_so_many_steps_later() -> None:
    """By hand: neuron n fires where the input of n was 1 some steps before."""
    steps = np.array([0, 2, 5], dtype=np.uint8)
    thresholds, successor = np.ones((1, 2, 1), int), np.array([[[0, 1]] * 2])
    neuron = Neuron("n", thresholds, successor, np.ones(1, int), np.zeros(3, int), 0, np.array([[0, 1]], np.float32))
    layers = DelayLayer("d", steps), Dense("fc", np.eye(3, dtype=int), np.zeros(3, int)), neuron
    network = sd.Network(sd.InputSpec((3,), encoding="sequence"), layers, 8)
    inputs = np.random.default_rng(0).integers(0, 2, (8, 4, 3))
    (trace,) = sd.simulate(network, inputs, trace=True).trace
    want = np.zeros_like(inputs)
    for element, late in enumerate(steps):
        want[late:, :, element] = inputs[: 8 - late, :, element]
    assert np.array_equal(trace.spikes, want)


@pytest.mark.parametrize("behind", ["inputs", "spikes"])
def test_direct_inputs_arrive_late_too(behind: str, compiler: None) -> None:
    model = chain(Delay(2), behind=behind)
    network = sd.lower(model, sd.InputSpec((6,), 0, 3), STEPS)
    assert network.certificate.proven and sd.verify(network, model, inputs_of(network)).agrees


class Loop(nn.Module):
    """A loop over time that puts its layers to rest itself."""

    def __init__(self, delay: nn.Module, trick: str = "") -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc1, self.lif1, self.delay, self.fc2, self.lif2 = linear(6, 8), leaky(), delay, linear(8, 4), leaky()
        self.trick = trick

    def forward(self, x: Tensor) -> Tensor:
        self.lif1.reset_mem()
        self.lif2.reset_mem()
        self.delay.reset_delay()
        spikes = []
        for step in range(x.size(0)):
            if self.trick == "reset" and step == 4:
                self.delay.reset_delay()
            late = self.delay(self.lif1(self.fc1(x[step])))
            if self.trick == "twice":
                late = late + self.delay(late)
            if self.trick == "in place":
                self.delay.past.zero_()
            if self.trick == "read" and bool(self.delay.past.sum() > 1e6):
                late = late + late
            spikes.append(self.lif2(self.fc2(late)))
        return torch.stack(spikes)


def test_a_loop_of_the_users_own() -> None:
    model = Loop(Delay(torch.tensor([1, 0, 2, 3, 0, 1, 1, 4]))).eval()
    network = sd.lower(model, SPEC, STEPS)
    assert network.certificate.proven
    assert sd.verify(network, model, inputs_of(network), executors=("torch", "numpy")).agrees


@pytest.mark.parametrize(
    ("trick", "rule"),
    [
        ("reset", "layers remember what they took in the steps before"),
        ("in place", "nothing reads a value behind its record"),
        ("read", "nothing reads a value behind its record"),
        ("twice", "what remembers runs once a time step"),
    ],
)
def test_what_would_be_another_delay_is_refused(trick: str, rule: str) -> None:
    with pytest.raises(LoweringError, match=rule):
        sd.lower(Loop(Delay(2), trick).eval(), SPEC, STEPS)


def test_currents_that_begin_with_a_bias_are_refused() -> None:
    """Before the first sum has come, the model's current is 0, and no bias. A bias on the grid is part of the sum."""
    torch.manual_seed(0)
    odd = QuantLinear(6, 8, bias=True, weight_quant=Int8WeightPerTensorFixedPoint)
    with torch.no_grad():
        odd.bias.fill_(0.123)
    with pytest.raises(LoweringError, match="before the first values have come there is no current"):
        sd.lower(nn.Sequential(odd, Delay(1), leaky()).eval(), SPEC, STEPS)
    model = nn.Sequential(leaky_input := linear(6, 8), Delay(1), leaky()).eval()
    assert leaky_input.bias is None and sd.lower(model, SPEC, STEPS).certificate.proven


def test_whole_steps_only() -> None:
    for wrong in (-1, 256, 1.5, torch.tensor([1.0, 2.0]), [], "3", None, 10**30, [1, [2]]):
        with pytest.raises(ConfigError, match="expected whole steps, 0 to 255"):
            Delay(wrong)
    for shape in ((3,), (1, 8), (0,)):
        model = chain(Delay(2))
        model[2].delay = torch.ones(shape, dtype=torch.long)
        with pytest.raises(LoweringError, match=r"delays are whole steps.*use one for all, or an array"):
            sd.lower(model, SPEC, STEPS)
    model[2].delay = torch.tensor(300)
    with pytest.raises(LoweringError, match="got 300 to 300 steps, at most 255"):
        sd.lower(model, SPEC, STEPS)


def test_a_delay_that_nobody_resets_is_warned_of() -> None:
    """By name: what puts snnTorch's neurons to rest leaves it as it is."""

    class Forgetful(Loop):
        def forward(self, x: Tensor) -> Tensor:
            utils.reset(self)
            return torch.stack([self.lif2(self.fc2(self.delay(self.lif1(self.fc1(now))))) for now in x])

    with pytest.warns(SquatWarning, match="reset_delay of what delays"):
        sd.lower(Forgetful(Delay(2)).eval(), SPEC, STEPS)


OF_SNNTORCH = """
import torch
from torch import nn


class SynapticDelay(nn.Module):
    def __init__(self, max_delay, delay, kernel="linear", step_mode=True):
        super().__init__()
        self.max_delay, self.kernel, self.step_mode = max_delay, kernel, step_mode
        self.delay = nn.Parameter(delay)
        self.register_buffer("_buffer", torch.zeros(0), persistent=False)

    def reset_delay(self):
        self._buffer = torch.zeros_like(self._buffer)

    def forward(self, x):
        if self._buffer.shape != (self.max_delay + 1, *x.shape):
            self._buffer = x.new_zeros((self.max_delay + 1, *x.shape))
        self._buffer = torch.cat((x[None], self._buffer[:-1]))
        far = torch.arange(self.max_delay + 1.0)[:, None] - self.delay.clamp(0, self.max_delay)
        weights = (1 - far.abs()).clamp(min=0)
        return (self._buffer * (weights / weights.sum(0))[:, None]).sum(0)
"""


@pytest.fixture
def of_snntorch(monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    """What later releases of snnTorch call so, as if it were installed: a kernel around a delay that training moves."""
    from squat_deploy.lowering import handlers
    from squat_deploy.snn import delay

    module = types.ModuleType("snntorch.synapticdelay")
    exec(OF_SNNTORCH, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(delay.REMEMBERING, module.SynapticDelay, ("_buffer",))
    monkeypatch.setitem(handlers.HANDLERS, module.SynapticDelay, handlers.HANDLERS[Delay])
    return module.SynapticDelay


def test_learned_delays_that_were_rounded(of_snntorch: type[nn.Module]) -> None:
    torch.manual_seed(0)
    delay = of_snntorch(6, torch.rand(8) * 6)
    with pytest.raises(LoweringError, match=r"delays are whole steps.*round it"):
        sd.lower(Loop(delay).eval(), SPEC, STEPS)
    delay.delay.data.round_()
    model = Loop(delay).eval()
    network = sd.lower(model, SPEC, STEPS)
    assert network.certificate.proven
    assert sd.verify(network, model, inputs_of(network), executors=("torch", "numpy")).agrees


@pytest.mark.parametrize("options", [{"kernel": "gaussian"}, {"step_mode": False}])
def test_other_kernels_are_refused(of_snntorch: type[nn.Module], options: dict[str, object]) -> None:
    with pytest.raises(LoweringError, match="delays are whole steps"):
        sd.lower(chain(of_snntorch(3, torch.ones(8), **options)), SPEC, STEPS)


def nir_file(path: Path, delay: np.ndarray) -> Path:
    neurons = {"tau": np.full(2, 2e-3), "r": np.full(2, 2.0), "v_leak": np.zeros(2), "v_threshold": np.ones(2)}
    nodes = {
        "input": nir.Input(np.array([2])), "fc": nir.Affine(np.eye(2) * 0.7, np.zeros(2)),
        "lif": nir.LIF(**neurons), "delay": nir.Delay(delay), "fc2": nir.Affine(np.ones((2, 2)) * 0.6, np.zeros(2)),
        "lif2": nir.LIF(**neurons), "output": nir.Output(np.array([2])),
    }  # fmt: skip
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(names))))
    return path


def test_delays_of_nir(tmp_path: Path) -> None:
    made = read_nir(nir_file(tmp_path / "net.nir", np.array([2e-3, 5e-3])), NirOptions(dt=1e-3)).model
    (delay,) = (module for module in made if isinstance(module, Delay))
    assert delay.delay.tolist() == [2, 5]
    alike = read_nir(nir_file(tmp_path / "alike.nir", np.array([3e-3, 3e-3])), NirOptions(dt=1e-3)).model
    assert [module.delay.tolist() for module in alike if isinstance(module, Delay)] == [3]
    with pytest.raises(LoweringError, match="0 to 255 whole time steps"):
        read_nir(nir_file(tmp_path / "odd.nir", np.array([2e-3, 2.4e-3])), NirOptions(dt=1e-3))
    with pytest.raises(LoweringError, match="time step is stated"):
        read_nir(nir_file(tmp_path / "net.nir", np.array([2e-3, 5e-3])))


def test_nets_with_delays_are_quantized() -> None:
    torch.manual_seed(0)
    parts = [nn.Linear(6, 8), snn.Leaky(beta=0.5, init_hidden=True), Delay([3] * 8), nn.Linear(8, 4)]
    model = nn.Sequential(*parts, snn.Leaky(beta=0.5, init_hidden=True)).eval()
    data = torch.randint(0, 4, (STEPS, 20, 6)).float()
    quantized = sd.quantize(model, data, steps=STEPS, encoding="sequence")
    network = sd.lower(quantized, SPEC, STEPS)
    assert any(isinstance(layer, DelayLayer) for layer in network.layers) and network.certificate.proven


@pytest.mark.parametrize("steps", [[-1], [256], [1.0], [True], []])
def test_layers_with_impossible_delays(steps: list[float]) -> None:
    """Simulators look up by them, and memories have 8 bits for them."""
    with pytest.raises(ConfigError, match="d: delays"):
        DelayLayer("d", np.array(steps))


def test_files_with_impossible_delays(tmp_path: Path) -> None:
    from tests.test_storage import altered

    network = sd.lower(chain(Delay(2)), SPEC, STEPS)
    path = tmp_path / "net.safetensors"
    sd.save(network, path)
    place = next(index for index, layer in enumerate(network.layers) if isinstance(layer, DelayLayer))
    altered(
        path, lambda _, tensors: tensors.update({f"{place}.steps": tensors[f"{place}.steps"].astype(np.int16) + 300})
    )
    with pytest.raises(FileFormatError, match="delays must be 0 to 255 steps"):
        sd.load(path)
