"""Layers that torch does not list: in containers, objects, closures, globals: taken in as eager torch runs them."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import warnings
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, LoweringError, SquatWarning
from squat_deploy.lowering import check, load_model
from squat_deploy.snn.checkpoint import load_weights, save_model
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.ptq import Recipe
from tests.test_models import leaky, linear

SPEC, STEPS = sd.InputSpec((12,), 0, 1), 6
INPUTS = np.random.default_rng(0).integers(0, 2, (9, 12))


def layers(plain: bool = False) -> list[Any]:
    """A dense layer, neurons, and both again; `plain`: of float torch."""
    torch.manual_seed(0)
    dense = nn.Linear if plain else linear
    neuron = (lambda: snn.Leaky(beta=0.9, init_hidden=True)) if plain else leaky
    made = [dense(12, 8), neuron(), dense(8, 4), neuron()]
    for layer in made[::2]:
        layer.weight.data.normal_(0, 0.6)
    return made


class Each(nn.Module):
    """Calls what it keeps in some form, one after the other."""

    def __init__(self, keep: Callable[[list[Any]], Any], plain: bool = False) -> None:
        super().__init__()
        self.kept = keep(layers(plain))

    def forward(self, x):
        for layer in self.each():
            x = layer(x)
        return x

    def each(self):
        kept = self.kept
        if isinstance(kept, dict):
            kept = kept.values()
        if dataclasses.is_dataclass(kept) or isinstance(kept, Bag | types.SimpleNamespace):
            kept = vars(kept).values()
        return [part for one in kept for part in (one if isinstance(one, list | tuple) else [one])]


@dataclasses.dataclass
class Pairs:
    first: Any
    second: Any


class Bag:
    """An object of the user's."""

    def __init__(self, parts: list[Any]) -> None:
        self.a, self.b, self.c, self.d = parts


class Slim:
    """One without a dictionary, which is called."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Block(nn.Module):
    """A module in a list, with a list of its own."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.parts = [part]

    def forward(self, x):
        return self.parts[0](x)


def around(fc: nn.Module, lif: nn.Module) -> Callable[[Any], Any]:
    return lambda x: lif(fc(x))


def called(x, fc, lif):
    return lif(fc(x))


Four = namedtuple("Four", "fc1 lif1 fc2 lif2")
KEPT: dict[str, tuple[Callable[[list[Any]], Any], list[str]]] = {
    "list": (list, ["kept.0", "kept.1", "kept.2", "kept.3"]),
    "tuple": (tuple, ["kept.0", "kept.1", "kept.2", "kept.3"]),
    "dict": (lambda each: dict(zip("abcd", each, strict=True)), ["kept.a", "kept.b", "kept.c", "kept.d"]),
    "named tuple": (lambda each: Four(*each), ["kept.fc1", "kept.lif1", "kept.fc2", "kept.lif2"]),
    "nested": (lambda each: {"x.y": each[:2], "rest": (each[2], each[3])},
               ["kept.x.y.0", "kept.x.y.1", "kept.rest.0", "kept.rest.1"]),
    "dataclass": (lambda each: Pairs(each[:2], each[2:]), ["kept.first.0", "kept.first.1", "kept.second.0",
                                                          "kept.second.1"]),
    "object": (Bag, ["kept.a", "kept.b", "kept.c", "kept.d"]),
    "namespace": (lambda each: types.SimpleNamespace(a=each[:2], b=each[2:]),
                  ["kept.a.0", "kept.a.1", "kept.b.0", "kept.b.1"]),
    "slots": (lambda each: [Slim(each)], ["kept.0.parts.0", "kept.0.parts.1", "kept.0.parts.2", "kept.0.parts.3"]),
    "blocks": (lambda each: [Block(part) for part in each], [f"kept.{place}.parts.0" for place in range(4)]),
    "partial": (lambda each: [functools.partial(called, fc=each[0], lif=each[1]), *each[2:]],
                ["kept.0.fc", "kept.0.lif", "kept.1", "kept.2"]),
    "lambdas": (lambda each: [lambda x: each[1](each[0](x)), around(each[2], each[3])], ["each.0", "each.1", "each.2",
                                                                                        "each.3"]),
    "defaults": (lambda each: [lambda x, part=part: part(x) for part in each],
                 ["lambda.0", "lambda.0_2", "lambda.0_3", "lambda.0_4"]),
    "methods": (lambda each: [Slim(each).__call__], ["kept.0.parts.0", "kept.0.parts.1", "kept.0.parts.2",
                                                     "kept.0.parts.3"]),
}  # fmt: skip


def eager(model: nn.Module, inputs: Any = INPUTS) -> Any:
    """Counts of the model itself, called step by step, its neurons at rest before."""
    for neuron in snn.Leaky.instances:
        neuron.reset_mem()
    with torch.no_grad():
        return sum(model(torch.from_numpy(inputs).float()) for _ in range(STEPS)).int().numpy()


def assert_as_eager(model: nn.Module) -> sd.Network:
    with pytest.warns(SquatWarning, match="taken in from"):
        network = sd.lower(model, SPEC, STEPS)
    scores = sd.simulate(network, INPUTS).scores
    assert network.certificate.proven and scores.any() and (scores == eager(model)).all()
    assert sd.verify(network, model, INPUTS, executors=["torch", "numpy"]).agrees
    assert network.origin.model == model_digest(model)
    return network


@pytest.mark.parametrize("name", KEPT)
def test_layers_in_plain_containers_are_taken_in(name: str) -> None:
    keep, names = KEPT[name]
    model = Each(keep).eval()
    network = assert_as_eager(model)
    assert [layer.name for layer in network.layers] == names
    assert network.digest == sd.lower(nn.Sequential(*layers()), SPEC, STEPS).digest


fc1, lif1, fc2, lif2 = layers()
TOGETHER = {"first": (fc1, lif1), "second": (fc2, lif2)}
here = types.ModuleType("layers_of_a_notebook")
here.fc1, here.lif1, here.count = fc1, lif1, 0  # type: ignore[attr-defined]


def second(x):
    return lif2(fc2(x))


class Globals(nn.Module):
    """Layers of a notebook, some in a function of it."""

    def forward(self, x):
        return second(lif1(fc1(x)))


class GlobalDict(nn.Module):
    def forward(self, x):
        for pair in TOGETHER.values():
            x = called(x, *pair)
        return x


class OfModule(nn.Module):
    """Those of another module of Python."""

    def forward(self, x):
        return second(here.lif1(here.fc1(x)))  # type: ignore[attr-defined]


class OfClass(nn.Module):
    parts = layers()

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Defaults(nn.Module):
    def forward(self, x, *, fc=fc1, lif=lif1):
        return second(lif(fc(x)))


class Twice(nn.Module):
    """One layer by two names, one of which torch knows."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = layers()
        self.first, self.again = self.parts[0], {"lif": self.parts[1]}

    def forward(self, x):
        return self.parts[3](self.parts[2](self.again["lif"](self.parts[0](x))))


def inner() -> nn.Module:
    fc, lif, *_ = layers()

    class Inner(nn.Module):
        def forward(self, x):
            return lif(fc(x))

    return Inner()


FOUND: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "globals": (Globals, ["fc1", "lif1", "fc2", "lif2"]),
    "global dict": (GlobalDict, ["TOGETHER.first.0", "TOGETHER.first.1", "TOGETHER.second.0", "TOGETHER.second.1"]),
    "module": (OfModule, ["here.fc1", "here.lif1", "fc2", "lif2"]),
    "class": (OfClass, ["parts.0", "parts.1", "parts.2", "parts.3"]),
    "defaults": (Defaults, ["forward.fc", "forward.lif", "fc2", "lif2"]),
    "two names": (Twice, ["first", "parts.1", "parts.2", "parts.3"]),
    "closure": (inner, ["fc", "lif"]),
    "in a sequence": (lambda: nn.Sequential(Globals(), nn.Identity()), ["fc1", "lif1", "fc2", "lif2"]),
}


@pytest.mark.parametrize("name", FOUND)
def test_layers_in_globals_and_closures_are_taken_in(name: str) -> None:
    make, names = FOUND[name]
    before = fc1.weight.detach().clone(), lif1.training
    network = assert_as_eager(make().eval())
    assert [layer.name for layer in network.layers] == names
    assert torch.equal(fc1.weight, before[0]) and lif1.training == before[1]
    assert Globals.forward.__globals__["fc1"] is fc1


def test_globals_are_the_users_again_after_a_failure() -> None:
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError(str(lif1(fc1(x)).shape))

    with pytest.raises(LoweringError, match="ValueError"), pytest.warns(SquatWarning, match="the global fc1"):
        sd.lower(Fails(), SPEC, STEPS)
    assert Globals.forward.__globals__["fc1"] is fc1


class OtherNames(nn.Module):
    """Attributes with the names of globals, which are something else."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(12, 4), leaky()
        self.fc1.weight.data.normal_(0, 0.6)

    def forward(self, x):
        return self.lif1(self.fc1(x))


def test_attributes_are_no_globals() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SquatWarning)
        network = sd.lower(OtherNames().eval(), SPEC, STEPS)
    assert [layer.name for layer in network.layers] == ["fc1", "lif1"]


class Modes(Each):
    """With layers between that do something else in training."""

    def __init__(self) -> None:
        super().__init__(lambda each: [each[0], nn.BatchNorm1d(8), each[1], nn.Dropout(0.5), *each[2:]])
        self.kept[1].running_mean.normal_(0, 0.1)


def test_modes_that_eval_does_not_reach_are_said() -> None:
    model = Modes().eval()
    with pytest.warns(SquatWarning, match=r"; kept.1, kept.3 in training mode, and taken in eval mode: call eval\(\)"):
        sd.lower(model, SPEC, STEPS)
    for part in model.kept:
        part.eval()
    with pytest.warns(SquatWarning) as told:
        network = sd.lower(model, SPEC, STEPS)
    assert all("training mode" not in str(one.message) for one in told)
    assert (sd.simulate(network, INPUTS).scores == eager(model)).all()


class Anew(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = linear(12, 4), leaky()

    def forward(self, x):
        return self.lif(linear(12, 4)(x))


class Once(Anew):
    """As the hint says."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear(12, 4)

    def forward(self, x):
        return self.lif(self.layer(x))


def test_layers_made_in_forward_are_refused_as_such() -> None:
    with pytest.raises(LoweringError) as caught:
        sd.lower(Anew().eval(), SPEC, STEPS)
    got = "layers stay the same from call to call; got a QuantLinear that is made anew in every call; make it once, in"
    assert got in str(caught.value) and caught.value.faults[0].layer.startswith("test_unregistered.py:")
    assert check(Anew().eval(), SPEC, STEPS)[0].verdict == "refused"
    assert sd.lower(Once().eval(), SPEC, STEPS).certificate.proven


class Stored(nn.Module):
    """A layer that only an iterator has."""

    def __init__(self, listed: bool = False) -> None:
        super().__init__()
        self.lif, fc = leaky(), linear(12, 4)
        self.fcs = [fc] if listed else {fc: "a key"}

    def forward(self, x):
        return self.lif(next(iter(self.fcs))(x))


def test_what_is_found_nowhere_is_refused() -> None:
    rule = r"got a QuantLinear that is not among model.modules\(\), nor in what its code names; make it an attribute"
    with pytest.raises(LoweringError, match=rule):
        sd.lower(Stored().eval(), SPEC, STEPS)
    with pytest.warns(SquatWarning, match="fcs.0: taken in from fcs, a plain list"):
        assert sd.lower(Stored(listed=True).eval(), SPEC, STEPS).certificate.proven


def test_checkpoints_say_what_they_do_not_hold(tmp_path: Path) -> None:
    path, note = tmp_path / "weights.pt", "in no state dict, since the model does not list them, and as the factory"
    torch.save(Twice().state_dict(), path)
    model = Twice()
    with pytest.warns(SquatWarning, match=f"weights.pt: .*{note} makes them: parts.1, parts.2, parts.3"):
        load_weights(model, path)
    torch.save(Each(list).state_dict(), path)  # nothing at all
    with pytest.warns(SquatWarning, match=re.escape(f"weights.pt: {note} makes them: kept.0, kept.1, kept.2, kept.3")):
        load_weights(Each(list), path)
    torch.save(nn.Sequential(*layers()).state_dict(), path)
    with pytest.raises(FileFormatError, match="cannot be loaded into this model"):
        load_weights(Twice(), path)


def test_exact_forms_and_quantized_models_have_them_too(tmp_path: Path) -> None:
    model = Each(list).eval()
    made = sd.exact(model, SPEC, STEPS)
    assert (
        sd.lower(made, SPEC, STEPS).digest == sd.lower(model, SPEC, STEPS).digest and made.kept[0] is not model.kept[0]
    )
    floats, data = (
        Each(lambda each: {"a": each[:2], "b": each[2:]}, plain=True).eval(),
        torch.from_numpy(INPUTS).float(),
    )
    with pytest.warns(SquatWarning, match="kept.a.0, kept.a.1, kept.b.0, kept.b.1: taken in from kept, a plain dict"):
        quantized = sd.quantize(floats, data, steps=STEPS)
    network = sd.lower(quantized, SPEC, STEPS)
    assert [layer.name for layer in network.layers] == ["kept.a.0", "kept.a.1", "kept.b.0", "kept.b.1"]
    assert sd.verify(network, quantized, INPUTS, executors=["torch", "numpy"]).agrees
    assert (sd.simulate(network, INPUTS).scores == eager(quantized)).all()
    path = tmp_path / "made.safetensors"
    save_model(quantized, path)
    again = Recipe.of(floats, quantized).applied(floats)
    load_weights(again, path)
    assert model_digest(again) == model_digest(quantized)


def test_a_factory_of_such_a_model_and_its_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("from tests.test_unregistered import Twice\n\n\ndef make():\n    return Twice()\n")
    torch.save(Twice().state_dict(), tmp_path / "net.pt")
    with pytest.warns(SquatWarning, match="in no state dict"):
        model = load_model(f"{file}:make", tmp_path / "net.pt")
    assert isinstance(model, Twice)
