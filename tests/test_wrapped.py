"""Models and checkpoints as training scripts leave them: what is wrapped around them is taken off, and said."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.functional import quant
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, LoweringError, SquatWarning
from squat_deploy.lowering import check, load_model
from squat_deploy.snn.checkpoint import load_weights
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.ptq import Recipe
from squat_deploy.snn.quantizers import state_quant
from tests.test_models import leaky, linear

SPEC, STEPS = sd.InputSpec((12,), 0, 1, 1.0), 6
INPUTS = np.random.default_rng(0).integers(0, 2, (5, 12))


def net(seed: int = 0, table: Callable[..., Any] = state_quant) -> nn.Sequential:
    torch.manual_seed(seed)
    made = nn.Sequential(linear(12, 8), leaky(state_quant=table(4)), linear(8, 4), leaky(state_quant=table(4)))
    with torch.no_grad():
        made[0].weight.mul_(4)
        made[2].weight.mul_(4)
    return made


class Inside(nn.Module):
    """A model with another in it, which may be wrapped."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module] = lambda model: model) -> None:
        super().__init__()
        self.net = wrap(net())

    def forward(self, x):
        return self.net(x)


class Lightning(nn.Module):
    """As a LightningModule: a loss, a metric that replaces its own methods, and the net in an attribute."""

    class Metric(nn.Module):
        """As those of torchmetrics."""

        def __init__(self) -> None:
            super().__init__()
            self.update = self.compute = lambda *_: None

        def update(self, *_: object) -> None: ...

        def compute(self) -> None: ...

    def __init__(self) -> None:
        super().__init__()
        self.model, self.loss, self.metric = net(), nn.CrossEntropyLoss(), self.Metric()

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, number):
        """Called by a trainer."""
        return self.loss(self(batch[0]), batch[1])


WRAPPED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "compiled": (
        lambda: torch.compile(net()),
        "model: the model inside of its OptimizedModule is taken, that in its _",
    ),
    "data parallel": (lambda: nn.DataParallel(net()), "model: the model inside of its DataParallel is taken, that in"),
    "averaged": (lambda: AveragedModel(net()), "model: the model inside of its AveragedModel is taken"),
    "two of them": (lambda: torch.compile(nn.DataParallel(net())), "_orig_mod: the model inside of its DataParallel"),
    "inside": (lambda: Inside(torch.compile), "net: the model inside of its OptimizedModule is taken"),
    "inside, parallel": (lambda: Inside(nn.DataParallel), "net: the model inside of its DataParallel is taken"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_opened_with_a_note(name: str) -> None:
    make, note = WRAPPED[name]
    with pytest.warns(SquatWarning) as caught:
        network = sd.lower(make(), SPEC, STEPS)
    assert any(note in str(one.message) for one in caught)
    plain = Inside() if name.startswith("inside") else net()
    assert network.digest == sd.lower(plain, SPEC, STEPS).digest and network.certificate.proven
    assert network.origin.model == model_digest(make()) == model_digest(plain)
    assert sd.verify(network, make(), INPUTS, executors=["torch", "numpy"]).agrees
    assert all(row.verdict != "refused" for row in check(make(), SPEC, STEPS))


def test_the_note_of_a_compiled_model_says_what_is_not_compared() -> None:
    with pytest.warns(SquatWarning, match="what torch.compile makes of it may round otherwise, and is not looked at"):
        sd.lower(torch.compile(net()), SPEC, STEPS)


def test_a_model_that_compiles_itself_is_the_same() -> None:
    model = net()
    model.compile()
    assert sd.lower(model, SPEC, STEPS).digest == sd.lower(net(), SPEC, STEPS).digest


def test_a_hook_of_a_wrapper_is_no_part_of_what_is_inside() -> None:
    model = nn.DataParallel(net())
    model.register_forward_hook(lambda *_: None)
    with pytest.raises(LoweringError, match="forward hooks change what is computed; got a hook; remove the hooks"):
        sd.lower(model, SPEC, STEPS)


def test_pruned_weights_are_made_permanent() -> None:
    """The hint, done."""
    model = net()
    prune.l1_unstructured(model[0], "weight", 0.5)
    with pytest.raises(LoweringError, match=r"make what was pruned permanent: torch.nn.utils.prune.remove\(layer"):
        sd.lower(model, SPEC, STEPS)
    prune.remove(model[0], "weight")
    assert sd.verify(sd.lower(model, SPEC, STEPS), model, INPUTS, executors=["torch"]).agrees


def test_modules_of_a_trainer_are_models() -> None:
    model = Lightning()
    network = sd.lower(model, SPEC, STEPS)
    assert network.certificate.proven and sd.verify(network, model, INPUTS, executors=["torch"]).agrees


def test_float_models_in_wrappers_are_quantized() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 8), snn.Leaky(beta=0.9, init_hidden=True))
    data = torch.from_numpy(INPUTS).float()
    with pytest.warns(SquatWarning, match="the model inside of its DataParallel is taken"):
        made = sd.quantize(nn.DataParallel(model), data, steps=STEPS)
    assert model_digest(made) == model_digest(sd.quantize(model, data, steps=STEPS))
    assert Recipe.of(nn.DataParallel(model), made) == Recipe.of(model, made)


def test_lazy_layers_are_lowered_after_one_call(tmp_path: Path) -> None:
    """Both hints, done."""

    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyLinear(8), snn.Leaky(beta=0.9, init_hidden=True))

    data = torch.from_numpy(INPUTS).float()
    model = lazy()
    with pytest.raises(LoweringError, match=r"0 \(LazyLinear\): .* call model\(inputs\) once, or load a checkpoint"):
        sd.lower(model, SPEC, STEPS)
    model(data)
    made = sd.quantize(model, data, steps=STEPS)
    assert sd.verify(sd.lower(made, SPEC, STEPS), made, INPUTS, executors=["torch"]).agrees
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = lazy()
    load_weights(loaded, tmp_path / "w.pt")
    assert type(loaded[0]) is nn.Linear and model_digest(sd.quantize(loaded, data, steps=STEPS)) == model_digest(made)


# Checkpoints


@contextmanager
def noted(*texts: str) -> Iterator[None]:
    """Exactly these notes, in one warning; without any, none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SquatWarning)
        yield
    said = [str(one.message) for one in caught if one.category is SquatWarning]
    assert said == (["w.pt: " + "; ".join(texts)] if texts else [])


STATE = net(1).state_dict()
STOCK = net(1, quant.state_quant).state_dict()
LEVELS = "levels, which are those of the factory's state_quant: 1.state_quant.levels, 3.state_quant.levels"
MISSING = "not in the file, as the factory makes them: "


def named(before: str, state: dict[str, Any] = STATE) -> dict[str, Any]:
    return {before + key: value for key, value in state.items()}


def without(*parts: str) -> dict[str, Any]:
    return {key: value for key, value in STATE.items() if not any(part in key for part in parts)}


OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
SAVED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "plain": (STATE, ()),
    "a training script's": (
        {"epoch": 3, "model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER, "loss": 0.1},
        ("took 'model_state_dict' of the file",),
    ),
    "another one's": ({"net": STATE, "acc": 0.5}, ("took 'net' of the file",)),
    "one in another": ({"checkpoint": {"model": STATE, "epoch": 3}}, ("took 'checkpoint.model' of the file",)),
    "a trainer's": (
        {"state_dict": {**named("model."), "loss.weight": torch.ones(3)}, "callbacks": {}, "epoch": 1},
        (
            "took 'state_dict' of the file", "took 'model.' off the names",
            "left out what is no part of this model: loss.weight",
        ),
    ),
    "parallel": (named("module."), ("took 'module.' off the names",)),
    "compiled": (named("_orig_mod."), ("took '_orig_mod.' off the names",)),
    "averaged": ({"n_averaged": torch.tensor(3), **named("module.")}, ("took 'module.' off the names",)),
    "compiled and parallel": (named("_orig_mod.module."), ("took '_orig_mod.module.' off the names",)),
    "of a class's net": (named("net._orig_mod."), ("took 'net._orig_mod.' off the names",)),
    "under one other name": (named("classifier."), ("took 'classifier.' off the names",)),
    "states of older versions": (
        {**STATE, "1.mem": torch.zeros(128, 8), "3.mem": torch.zeros(128, 4)},
        ("left out states, since a sequence starts at rest: 1.mem, 3.mem",),
    ),
    "keys of older versions": (
        without("graded", "reset_mechanism"),
        (
            f"{MISSING}1.graded_spikes_factor, 1.reset_mechanism_val, 3.graded_spikes_factor, 3.reset_mechanism_val",
        ),
    ),
    "of stock closures": (STOCK, (f"{MISSING}1.state_quant.levels, 3.state_quant.levels",)),
    "half": (
        {key: value.half() if value.is_floating_point() else value for key, value in STATE.items()},
        ("torch.float16 values, read as float32",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_checkpoints_of_training_scripts(name: str, tmp_path: Path) -> None:
    found, notes = SAVED[name]
    torch.save(found, tmp_path / "w.pt")
    model = net()
    with noted(*notes):
        load_weights(model, tmp_path / "w.pt")
    for key, value in model.state_dict().items():
        assert torch.equal(
            value, STATE[key].half().float() if name == "half" and value.is_floating_point() else STATE[key]
        )


def test_a_checkpoint_of_the_inside_fits_the_whole(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pt")
    model = Inside()
    with noted("put 'net.' before the names"):
        load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.net[0].weight, STATE["0.weight"])  # type: ignore[index]


def test_wrappers_inside_names_are_taken_out(tmp_path: Path) -> None:
    torch.save(Inside(lambda model: torch.compile(nn.DataParallel(model))).state_dict(), tmp_path / "w.pt")
    model = Inside(lambda _: net(1))
    with noted("took 'module.' and '_orig_mod.' out of the names"):
        load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.net[0].weight, net()[0].weight)  # type: ignore[index]


def test_levels_of_a_closure_are_compared(tmp_path: Path) -> None:
    """Stock closures hold no levels in a state dict: those of the file must be those of the factory."""
    torch.save(STATE, tmp_path / "w.pt")
    with noted(LEVELS):
        load_weights(net(0, quant.state_quant), tmp_path / "w.pt")
    stock = net(0, lambda bits: quant.state_quant(bits, uniform=False))
    with pytest.raises(
        FileFormatError, match=r"1.state_quant.levels: other levels than those of the factory's state_q"
    ):
        load_weights(stock, tmp_path / "w.pt")
    mended = net(0, lambda bits: state_quant(bits, uniform=False))  # the hint, done
    load_weights(mended, tmp_path / "w.pt")
    assert sd.lower(mended, SPEC, STEPS).digest == sd.lower(net(1), SPEC, STEPS).digest


class Levels(nn.Module):
    """Learned levels are weights: they are never the factory's."""

    def __init__(self) -> None:
        super().__init__()
        self.table = state_quant(4)
        self.table.learned = True


def test_learned_levels_must_be_there(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(FileFormatError, match=r"missing table.levels and what it does not have, other"):
        load_weights(Levels(), tmp_path / "w.pt")


def test_a_name_that_is_not_known_leaves_nothing_out(tmp_path: Path) -> None:
    """Weights of a part of another model could be taken for the model."""
    torch.save({**named("encoder."), "decoder.weight": torch.ones(3)}, tmp_path / "w.pt")
    with pytest.raises(FileFormatError, match=r"missing 0.weight, .* and 2 more and what it does not have, encoder"):
        load_weights(net(), tmp_path / "w.pt")


def test_a_pickled_model_is_refused_with_a_way_that_works(tmp_path: Path) -> None:
    """The hint, done: where it was made, its state dict is saved alone."""
    with pytest.raises((AttributeError, pickle.PicklingError)):  # closures of snnTorch
        torch.save(net(0, quant.state_quant), tmp_path / "w.pt")
    torch.save({"state_dict": STATE, "hyper_parameters": Pickled()}, tmp_path / "w.pt")
    with pytest.raises(
        FileFormatError, match=r"which are never loaded; where it was made, save model.state_dict\(\) i"
    ):
        load_weights(net(), tmp_path / "w.pt")
    torch.save(torch.load(tmp_path / "w.pt", weights_only=False)["state_dict"], tmp_path / "weights.pt")
    model = net()
    load_weights(model, tmp_path / "weights.pt")
    assert torch.equal(model[0].weight, STATE["0.weight"])


class Pickled:
    """Something that a checkpoint holds beside its weights."""


FACTORY = """
import torch
from tests.test_wrapped import net
def factory():
    return torch.nn.DataParallel(net())
"""


def test_a_factory_of_a_wrapped_model_takes_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    torch.save({"epoch": 1, "state_dict": named("module.")}, tmp_path / "w.pt")
    with pytest.warns(SquatWarning) as caught:
        model = load_model(f"{tmp_path / 'net.py'}:factory", tmp_path / "w.pt")
    assert [str(one.message).split(":")[0] for one in caught] == ["model", "w.pt"]
    assert type(model) is nn.Sequential and torch.equal(model[0].weight, STATE["0.weight"])


def _own_forward(model: nn.Module) -> nn.Module:
    wrapped = nn.DataParallel(model)
    wrapped.forward = lambda x: wrapped.module(1 - x)  # type: ignore[method-assign]
    return wrapped


def _own_compiled(model: nn.Module) -> nn.Module:
    wrapped = torch.compile(model, backend="eager")
    wrapped.forward = lambda x: model(1 - x)  # type: ignore[union-attr]
    return wrapped  # type: ignore[return-value]


@pytest.mark.parametrize("wrap", [_own_forward, _own_compiled])
def test_a_forward_of_the_users_is_no_part_of_what_is_inside(wrap: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(LoweringError, match="its own forward"):
        sd.lower(wrap(net()).eval(), SPEC, STEPS)
    with pytest.raises(LoweringError, match="its own forward"):
        sd.lower(Inside(wrap).eval(), SPEC, STEPS)


class Looks(Inside):
    """Does something else where it is wrapped, found by its class, its attribute or its name."""

    def __init__(self, how: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__(wrap)
        self.how = how

    def forward(self, x):
        return self.way(self.net, 1 - x if self.how == "class" and isinstance(self.net, nn.DataParallel) else x)

    def way(self, inner, x):
        if self.how == "name" and type(inner).__name__ == "DataParallel":
            x = 1 - x
        return inner(x)


class Unwraps(Inside):
    def forward(self, x):
        return (self.net.module if hasattr(self.net, "module") else self.net)(x)


class KeepsModule(nn.Module):
    """An attribute of the user's with the name of that of wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.DataParallel(net())

    def forward(self, x):
        return self.module(x)


def test_what_looks_at_wrappers_is_refused() -> None:
    for make in (lambda wrap: Looks("class", wrap), lambda wrap: Looks("name", wrap), Unwraps):
        with pytest.raises(LoweringError) as caught:
            sd.lower(make(nn.DataParallel).eval(), SPEC, STEPS)
        fault = caught.value.faults[0]
        assert fault.layer.startswith("test_wrapped.py:") and "beside the wrapper of net" in fault.got
        assert fault.rule == "nothing in forward looks at wrappers, which are taken off"
        assert fault.hint == "lower the model without it: put what is inside into net"
        assert sd.lower(make(lambda model: model).eval(), SPEC, STEPS).certificate.proven  # the hint, done
    assert sd.lower(KeepsModule().eval(), SPEC, STEPS).digest == sd.lower(net().eval(), SPEC, STEPS).digest


OTHER = net(2).state_dict()
TWICE = {
    "two known prefixes": {**named("model."), **named("net.", OTHER)},
    "in the other order": {**named("net.", OTHER), **named("model.")},
    "with and without a wrapper": {**named("module.", OTHER), "0.weight": STATE["0.weight"]},
    "two wrappers": {**named("_orig_mod."), **named("module.", OTHER)},
    "one in the other": {**named("model."), **named("model.module.", OTHER)},
    "one of an older version": {"state_dict": without("graded", "reset_mechanism"), "ema": named("module.", OTHER)},
}


@pytest.mark.parametrize("name", TWICE)
def test_weights_that_are_there_twice_are_not_chosen_from(name: str, tmp_path: Path) -> None:
    torch.save(TWICE[name], tmp_path / "w.pt")
    with pytest.raises(FileFormatError, match=r"holds weights of this model twice, |holds 2 state dicts"):
        load_weights(net(), tmp_path / "w.pt")
    torch.save({**named("model."), **named("net.")}, tmp_path / "w.pt")  # the same ones are no question
    model = net()
    load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model[0].weight, STATE["0.weight"])  # type: ignore[arg-type]
