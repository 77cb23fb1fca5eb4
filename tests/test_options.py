"""Every option of every function and module that can be lowered is declared, and acts as declared."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant import Int8ActPerTensorFloat
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn
from torch.nn.utils import parametrize, spectral_norm, weight_norm

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.lowering.functions import FUNCTIONS
from squat_deploy.lowering.handlers import HANDLERS
from squat_deploy.lowering.options import (
    FUNCTION_OPTIONS,
    function_faults,
    plain_function,
    schemas,
    signature,
)
from squat_deploy.snn.neurons import KINDS
from tests.test_effects import STILL, Called, assert_exact_or_refused
from tests.test_models import conv, leaky, linear

STEPS = 5
PLANES = sd.InputSpec((1, 8, 8), 0, 1)
_PYTHON = {
    name: getattr(F, name) if hasattr(F, name) else getattr(torch.Tensor, name)
    for name in ("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_avg_pool2d")
} | {"dropout": F.dropout, "dropout2d": F.dropout2d, "unflatten": torch.Tensor.unflatten}
_NAMES = {"add": ("add", "add_"), "cat": ("cat", "concat", "concatenate")}


def test_every_function_has_its_options() -> None:
    assert FUNCTION_OPTIONS.keys() == FUNCTIONS.keys()


def test_every_neuron_has_a_handler() -> None:
    assert KINDS.keys() <= HANDLERS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_every_function_is_declared(name: str) -> None:
    """In all of torch's overloads: a new version cannot add one unseen, and none is declared that is not there."""
    found = {argument.name for each in _NAMES.get(name, (name,)) for one in schemas(each) for argument in one.arguments}
    if name in _PYTHON:
        found |= set(signature(_PYTHON[name]).parameters)
    assert found == FUNCTION_OPTIONS[name].keys()


@pytest.mark.parametrize("kind", HANDLERS, ids=lambda kind: kind.__name__)
def test_every_option_of_every_module_is_declared(kind: type[nn.Module]) -> None:
    assert set(list(inspect.signature(kind.__init__).parameters)[1:]) == HANDLERS[kind].options.keys()


def test_an_option_that_nobody_declared_is_refused_by_name() -> None:
    assert function_faults("cat", {"dim": 1, "sorted": True}) == [
        ("every option of cat is one that lowering knows", "sorted=True", "leave sorted out")
    ]


def test_the_tables_give_reasons() -> None:
    for table in (*FUNCTION_OPTIONS.values(), *(handled.options for handled in HANDLERS.values())):
        for option in table.values():
            assert bool(option.why) == (option.treatment in ("fixed", "no effect"))
            assert bool(option.hint) == (option.treatment == "fixed")


class Sum(Called):
    """Two branches of currents, added in some way."""

    def __init__(self, add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.fc3, self.add = linear(10, 6), add

    def effect(self, step, x, current):
        return self.add(current, self.fc3(x))


SUMS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "operator": (lambda a, b: a + b, None),
    "sum": (lambda a, b: sum([a, b]), None),
    "sum of three": (lambda a, b: sum((a, b, b)), None),
    "method": (lambda a, b: a.add(b), None),
    "by name": (lambda a, b: torch.add(input=a, other=b), None),
    "alpha of one": (lambda a, b: torch.add(a, b, alpha=1), None),
    "in place": (lambda a, b: a.add_(b), None),
    "alpha": (lambda a, b: torch.add(a, b, alpha=2), "the terms of a sum have no factor; got alpha=2"),
    "alpha of a method": (lambda a, b: a.add(b, alpha=0.5), "the terms of a sum have no factor; got alpha=0.5"),
    "alpha in place": (lambda a, b: a.add_(b, alpha=3), "the terms of a sum have no factor; got alpha=3"),
    "out": (lambda a, b: torch.add(a, b, out=torch.empty(0)), "a result is a new value; got out=a tensor"),
    "difference": (lambda a, b: a - b, "this function cannot be lowered; got sub"),
    "other difference": (lambda a, b: torch.rsub(a, b), "this function cannot be lowered; got rsub"),
    "difference with a number": (lambda a, b: 1 - a, "this function cannot be lowered; got rsub"),
    "product": (lambda a, b: a * b, "this function cannot be lowered; got mul"),
    "number": (lambda a, b: a + 1.0, "this function cannot be lowered; got add with a number"),
    "reflected number": (lambda a, b: 1.0 + a, "this function cannot be lowered; got add with a number"),
    "number in place": (lambda a, b: a.add_(1), "this function cannot be lowered; got add with a number"),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str) -> None:
    """An alpha that is dropped would be proven, and wrong."""
    add, message = SUMS[name]
    _assert(assert_exact_or_refused(lambda: Sum(add), STILL, STEPS), message)


def _assert(error: LoweringError | None, message: str | None) -> None:
    if message is None:
        assert error is None, error
    else:
        assert message in str(error)


class Shaped(nn.Module):
    """Planes that are pooled, joined and reshaped in some way between two layers."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lif1, self.fc, self.lif2 = conv(1, 2, 3, padding=1), leaky(), linear(size, 3), leaky()
        with torch.no_grad():
            self.conv.weight.mul_(4)
            self.fc.weight.mul_(4)
        self.change = change

    def forward(self, x):
        return self.lif2(self.fc(self.change(self.lif1(self.conv(x)))))


def flat(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1)


SHAPES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int, str | None]] = {
    "max pool": (lambda x: flat(F.max_pool2d(x, 2)), 32, None),
    "max pool, torch's": (lambda x: flat(torch.max_pool2d(x, [2], padding=1, stride=(2, 4))), 30, None),
    "max pool by names": (lambda x: flat(F.max_pool2d(input=x, kernel_size=(2, 1), stride=2)), 32, None),
    "max pool, ceil": (lambda x: flat(F.max_pool2d(x, 3, 2, 0, 1, True)), 32, "got ceil_mode=True"),
    "max pool, dilated": (lambda x: flat(F.max_pool2d(x, 2, 2, 0, 2)), 18, "dilation=2"),
    "max pool, indices": (lambda x: flat(F.max_pool2d(x, 2, return_indices=True)[0]), 32, "cannot be lowered"),
    "max pool, module's indices": (
        lambda x: flat(nn.MaxPool2d(2, return_indices=True)(x)[0]),
        32,
        "a pooling returns values alone; got return_indices=True; use return_indices=False",
    ),
    "average": (lambda x: flat(F.avg_pool2d(x, 2)), 32, None),
    "average, stride of torch's own": (lambda x: flat(F.avg_pool2d(x, 2, stride=None)), 32, None),
    "average, no padding counted": (
        lambda x: flat(F.avg_pool2d(x, 2, 2, 1, False, False)),
        50,
        "every window has one divisor; got count_include_pad=False",
    ),
    "average, other divisor": (lambda x: flat(F.avg_pool2d(x, 2, divisor_override=2)), 32, None),
    "average, module's divisor": (lambda x: flat(nn.AvgPool2d(2, divisor_override=8)(x)), 32, None),
    "average, ceil": (lambda x: flat(F.avg_pool2d(x, 3, ceil_mode=True)), 18, "got ceil_mode=True"),
    "joined": (lambda x: flat(torch.cat([x, x], 1)), 256, None),
    "joined by numpy's names": (lambda x: flat(torch.concatenate((x, x), axis=-3)), 256, None),
    "joined elsewhere": (lambda x: flat(torch.cat([x, x], 2)), 256, "values are joined channel by channel"),
    "joined into": (lambda x: flat(torch.cat([x, x], 1, out=torch.empty(0))), 256, "a result is a new value"),
    "views": (lambda x: x.view(x.size(0), 2, -1).reshape(-1, 128).unsqueeze(1).squeeze(1), 128, None),
    "views by name": (lambda x: torch.flatten(torch.reshape(x, shape=(len(x), 2, 64)), start_dim=1), 128, None),
    "memory formats": (
        lambda x: flat(x.contiguous(memory_format=torch.channels_last).clone(memory_format=torch.preserve_format)),
        128,
        None,
    ),
    "batch axis joined": (lambda x: x.flatten(0, 1).view(-1, 128), 128, "a reshape keeps the batch axis"),
    "all squeezed": (lambda x: flat(x).squeeze(), 128, "every batch and every sequence makes the same calls"),
    "other type": (lambda x: flat(x).view(torch.int32), 128, "the model runs on its declared inputs"),
    "transposed": (lambda x: flat(x.transpose(1, 2)), 128, "this function cannot be lowered; got transpose"),
    "dropout at rest": (lambda x: flat(F.dropout(x, 0.9, False)), 128, None),
    "dropout at rest, torch's": (lambda x: flat(torch.dropout(x, p=0.9, train=False)), 128, None),
    "dropout at work": (lambda x: flat(F.dropout2d(x)), 128, "dropout rests after training; got training=True"),
    "dropout at work, torch's": (lambda x: flat(torch.dropout(x, 0.5, True)), 128, "got training=True"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    change, size, message = SHAPES[name]
    _assert(assert_exact_or_refused(lambda: Shaped(change, size), PLANES, STEPS, (1, 9)), message)


def own_forward() -> nn.Module:
    layer = linear(10, 6)
    layer.forward = types.MethodType(lambda self, x: type(self).forward(self, x) * 2, layer)
    return layer


def own_method() -> nn.Module:
    neuron = leaky()
    neuron.fire = lambda mem: (mem > 0.5).float()
    return neuron


def own_update() -> nn.Module:
    neuron = leaky()
    neuron.state_function = lambda current: neuron.mem.mean(1, keepdim=True) + current
    return neuron


def hooked(register: str) -> nn.Module:
    layer = linear(10, 6)
    getattr(layer, register)(lambda *given: None)
    return layer


def parametrized() -> nn.Module:
    layer = linear(10, 6)
    parametrize.register_parametrization(layer, "weight", nn.Identity())
    return layer


def same_name() -> nn.Module:
    layer = linear(10, 6)
    layer.__class__ = type("QuantLinear", (QuantLinear,), {"forward": lambda self, x: QuantLinear.forward(self, x) * 2})
    return layer


ODD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "own forward": (own_forward, "a module computes what its class says; got its own forward"),
    "own method": (own_method, "a module computes what its class says; got its own fire"),
    "own update": (own_update, "a neuron computes what its class says; got its own state_function (<lambda>)"),
    "hook": (lambda: hooked("register_forward_hook"), "forward hooks change what is computed"),
    "hook before": (lambda: hooked("register_forward_pre_hook"), "forward hooks change what is computed"),
    "parametrization": (parametrized, "this type cannot be lowered; got ParametrizedQuantLinear"),
    "weight norm": (lambda: weight_norm(linear(10, 6)), "forward hooks change what is computed"),
    "spectral norm": (lambda: spectral_norm(linear(10, 6)), "forward hooks change what is computed"),
    "same name": (same_name, "this type cannot be lowered; got QuantLinear"),
    "inhibition": (lambda: leaky(inhibition=True), "each neuron decides alone; got inhibition=True"),
    "dropout at work": (lambda: nn.Dropout(0.5), "layers are in evaluation mode; got training mode"),
}


class Holding(nn.Module):
    """Odd parts in a class of one's own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("wrap", [lambda model: model, Holding], ids=["plain", "in a class"])
@pytest.mark.parametrize("name", ODD)
def test_odd_parts(name: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
    """A plain `nn.Sequential` is not even run: what its parts really compute must show."""
    make, message = ODD[name]
    torch.manual_seed(0)
    odd = make()
    layers = [odd, leaky()] if isinstance(odd, QuantLinear) else [linear(10, 6), odd, leaky()]
    if isinstance(odd, snn.Leaky):
        layers = layers[:2]
    model = wrap(nn.Sequential(*layers)).eval()
    if isinstance(odd, nn.Dropout):
        odd.eval = odd.train = lambda *_: odd  # type: ignore[method-assign]
        odd.training = True
        message = "a module computes what its class says; got its own eval"
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, STILL, STEPS)
    assert message in str(caught.value)


@pytest.mark.parametrize("option", ["return_quant_tensor", "input_quant", "output_quant"])
def test_quantized_tensors(option: str) -> None:
    layer = linear(10, 6)
    if option == "return_quant_tensor":
        layer.return_quant_tensor = True
    else:
        layer = QuantLinear(
            10, 6, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, **{option: Int8ActPerTensorFloat}
        )
    spec = sd.InputSpec(STILL.shape, 0, 1, 0.3)
    with pytest.raises(LoweringError, match="a quantizer of values changes" if option == "input_quant" else option):
        sd.lower(nn.Sequential(layer, leaky()).eval(), spec, STEPS)


@pytest.mark.parametrize(
    ("module", "hint"),
    [(QuantIdentity, "remove it: the state_quant of the neurons"), (QuantReLU, "remove it: neurons are")],
)
def test_activations_that_return_quantized_tensors(module: type[nn.Module], hint: str) -> None:

    class Net(Called):
        def __init__(self) -> None:
            super().__init__()
            self.quantized = module(return_quant_tensor=True)

        def effect(self, step, x, current):
            return self.quantized(current).value

    with pytest.raises(LoweringError) as caught:
        sd.lower(Net().eval(), STILL, STEPS)
    assert caught.value.faults[0].hint.startswith(hint)


def test_layers_that_return_something_else() -> None:
    class Net(Called):
        def __init__(self) -> None:
            super().__init__()
            self.softmax = nn.AdaptiveLogSoftmaxWithLoss(6, 6, [3])

        def effect(self, step, x, current):
            self.softmax(current, torch.zeros(len(current), dtype=torch.long))
            return current

    with pytest.raises(LoweringError, match="layers return plain tensors; got _ASMoutput; let it return tensors"):
        sd.lower(Net().eval(), STILL, STEPS)


def test_hooks_of_all_modules() -> None:
    model = nn.Sequential(linear(10, 6), leaky()).eval()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *given: None)
    try:
        with pytest.raises(LoweringError, match="forward hooks change what is computed; got a hook of all modules"):
            sd.lower(model, STILL, STEPS)
    finally:
        handle.remove()
    assert sd.lower(model, STILL, STEPS).certificate.proven


def test_a_changed_class(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snn.Leaky.forward
    model = nn.Sequential(linear(10, 6), leaky()).eval()
    monkeypatch.setattr(snn.Leaky, "forward", lambda self, x, mem=None: before(self, x * 2, mem))
    with pytest.raises(LoweringError, match=r"a module computes what its class says; got Leaky\.forward of tests"):
        sd.lower(model, STILL, STEPS)


def test_flatten_by_number_of_axes() -> None:
    """`nn.Flatten(1, 3)` of planes is `nn.Flatten()`."""
    for ends in ((1, -1), (1, 3), (-3, -1), (-3, 3)):
        torch.manual_seed(0)
        model = nn.Sequential(conv(1, 2, 3), leaky(), nn.Flatten(*ends), linear(72, 3), leaky()).eval()
        assert sd.lower(model, PLANES, STEPS).certificate.proven
    torch.manual_seed(0)
    model = nn.Sequential(conv(1, 2, 3), leaky(), nn.Flatten(2), linear(36, 3), leaky()).eval()
    with pytest.raises(LoweringError, match=r"takes \(36,\) values; got \(2, 36\); put nn.Flatten\(\) before it"):
        sd.lower(model, PLANES, STEPS)


def test_names_of_one_function() -> None:
    assert {plain_function(name) for name in ("add", "add_", "__add__", "__radd__", "__iadd__")} == {"add"}
    assert {plain_function(name) for name in ("cat", "concat", "concatenate")} == {"cat"}
