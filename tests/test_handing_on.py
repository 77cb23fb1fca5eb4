"""What neurons return is what the next layer is given: torch's own result says what runs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant import Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from tests.test_lowering import leaky, linear

SPEC = sd.InputSpec((6,), 0, 3)
GIVING: dict[str, dict[str, Any]] = {
    "make the neuron with init_hidden=True": {"init_hidden": False},
    "make the neuron with output=False": {"output": True},
    "make the neuron with init_hidden=True and output=False": {"init_hidden": False, "output": True},
}


class Block(nn.Sequential):
    """A class made of it."""


class Own(nn.Module):
    """A forward of one's own that forgets that neurons return two values."""

    def __init__(self, neurons: nn.Module) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = linear(), neurons, linear(4, 3), leaky()

    def forward(self, x: torch.Tensor) -> Any:
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


class Spikes(nn.Module):
    """Takes what neurons return, and hands on the spikes."""

    def forward(self, both: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return both[0]


def behind(layer: nn.Module, *between: nn.Module) -> nn.Sequential:
    return nn.Sequential(linear(), layer, *between, linear(4, 3), leaky())


FORMS: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "in a row": (behind, "1 (Leaky): {}; got (spikes, states), which 2 (QuantLinear) is given"),
    "through what hands everything on": (
        lambda neurons: behind(neurons, nn.Identity()),
        "1 (Leaky): {}; got (spikes, states), which 3 (QuantLinear) is given",
    ),
    "in a block": (
        lambda neurons: nn.Sequential(Block(linear(), neurons), linear(4, 3), leaky()),
        "0.1 (Leaky): {}; got (spikes, states), which 1 (QuantLinear) is given",
    ),
    "in a forward": (Own, "lif1 (Leaky): {}; got (spikes, states), which fc2 (QuantLinear) is given"),
}


@pytest.mark.parametrize("hint", GIVING)
@pytest.mark.parametrize("form", FORMS)
def test_states_handed_to_a_layer(form: str, hint: str) -> None:
    """torch raises there, so nothing is lowered; what the hint says is."""
    make, text = FORMS[form]
    model = make(leaky(**GIVING[hint])).eval()
    with pytest.raises(TypeError, match="must be Tensor, not tuple"):
        model(torch.ones(1, 6))
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, SPEC, 3)
    assert text.format("a layer takes spikes alone from neurons") in str(caught.value) and hint in str(caught.value)
    changes = dict(pair.split("=") for pair in hint.removeprefix("make the neuron with ").split(" and "))
    mended = make(leaky(**GIVING[hint] | {key: value == "True" for key, value in changes.items()}))
    assert sd.lower(mended.eval(), SPEC, 3).certificate.proven


@pytest.mark.parametrize("options", GIVING.values())
def test_what_torch_runs_is_lowered(options: dict[str, Any]) -> None:
    """The last neurons may return their states, and a module of the user's may take them."""
    for model in (
        nn.Sequential(linear(), leaky(), linear(4, 3), leaky(**options)),
        nn.Sequential(linear(), leaky(**options), nn.Identity()),
        behind(leaky(**options), Spikes()),
    ):
        network = sd.lower(model.eval(), SPEC, 3)
        inputs = torch.randint(0, 4, (5, 6)).numpy()
        agreement = sd.verify(network, model, inputs, executors=("torch", "numpy"))
        assert agreement.agrees and network.certificate.proven


class Unpacking(nn.Identity):
    """Says that it hands on what it is given, and takes the spikes out."""

    def forward(self, input: Any) -> torch.Tensor:
        return input[0]


class Taking(QuantLinear):
    """A layer that takes the spikes out itself."""

    def forward(self, input: Any) -> torch.Tensor:
        return super().forward(input[0])


def hooked(model: nn.Sequential, place: int, *, before: bool = False) -> nn.Sequential:
    layer = model[place]
    if before:
        layer.register_forward_pre_hook(lambda module, args: (args[0][0],))
    else:
        layer.register_forward_hook(lambda module, args, result: result[0])
    return model


def own_forward(layer: nn.Module) -> nn.Module:
    layer.forward = Spikes().forward  # type: ignore[method-assign]
    return layer


def as_forward(model: nn.Sequential) -> nn.Module:
    """The same in a forward of one's own."""
    own = Own(model[1])
    own.fc1, own.fc2, own.lif2 = model[0], model[2], model[-1]
    return own


def taking() -> nn.Sequential:
    layer = Taking(4, 3, bias=False, weight_quant=Int8WeightPerTensorFixedPoint)
    return nn.Sequential(linear(), leaky(init_hidden=False), layer, leaky())


TAKEN_OUT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "by a class": (lambda: behind(leaky(output=True), Unpacking()), "2 (Unpacking)"),
    "by a layer of one's own": (taking, "2 (Taking)"),
    "by a layer of one's own, in a forward": (lambda: as_forward(taking()), "fc2 (Taking)"),
    "by a hook": (lambda: hooked(behind(leaky(output=True)), 1), "forward hooks change what is computed; got a hook"),
    "by a hook before": (lambda: hooked(behind(leaky(output=True)), 2, before=True), "forward hooks change"),
    "by a hook before, in a forward": (
        lambda: as_forward(hooked(behind(leaky(output=True)), 2, before=True)), "forward hooks change"),
    "by a hook between": (lambda: hooked(behind(leaky(output=True), nn.Identity()), 2), "forward hooks change"),
    "by a forward": (lambda: behind(leaky(output=True), own_forward(nn.Identity())), "its own forward"),
}  # fmt: skip


@pytest.mark.parametrize("form", TAKEN_OUT)
def test_what_takes_the_spikes_out_is_refused_for_what_it_is(form: str) -> None:
    """torch runs it, so nothing is said of states that a layer does not take."""
    make, text = TAKEN_OUT[form]
    model = make().eval()
    model(torch.ones(1, 6))
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, SPEC, 3)
    assert text in str(caught.value) and "takes spikes alone" not in str(caught.value)


class Through(nn.Module):
    """What neurons return goes through modules that hand on anything."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.identity, self.lif2 = linear(), linear(4, 3), nn.Identity(), leaky(init_hidden=False)
        self.block = nn.Sequential(leaky(output=True), nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.identity(self.block(self.fc1(x)))
        spikes, _ = both
        last, _ = self.identity(input=self.lif2(self.identity(self.fc2(spikes))))
        return last


class Carried(Through):
    """States among them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = self.identity(list(self.block(self.fc1(x))))
        spikes, self.block[0].mem = both
        return self.identity((self.lif2(self.fc2(spikes)), 1))[0][0]


@pytest.mark.parametrize("kind", [Through, Carried])
def test_what_hands_on_anything_in_a_forward(kind: type[nn.Module]) -> None:
    torch.manual_seed(1)
    model = kind().eval()
    network = sd.lower(model, SPEC, 3)
    agreement = sd.verify(network, model, torch.randint(0, 4, (20, 6)).numpy(), executors=("torch", "numpy"))
    assert agreement.agrees and network.certificate.proven


def test_a_float_model_that_cannot_run_is_not_quantized() -> None:
    def model(**options: Any) -> nn.Module:
        neurons = snn.Leaky(beta=0.5, **options), snn.Leaky(beta=0.5, init_hidden=True)
        return nn.Sequential(nn.Linear(6, 4), neurons[0], nn.Linear(4, 3), neurons[1])

    data = torch.rand(8, 6)
    with pytest.raises(ConfigError, match="neurons before a layer give spikes alone: make 1 with init_hidden=True"):
        sd.quantize(model(), data, steps=3)
    sd.quantize(model(init_hidden=True), data, steps=3)
