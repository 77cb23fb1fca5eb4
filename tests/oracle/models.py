"""Random models in the forms in which users write them, of stock torch, snnTorch and Brevitas alone."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from snntorch import utils
from torch import Tensor, nn

from tests.oracle import parts
from tests.oracle.edges import FAMILIES
from tests.oracle.parts import Draw, Function, Shape
from tests.oracle.tricks import HARMLESS, NOW, Clock, draw_trick

warnings.filterwarnings("ignore", module="snntorch")
IN_A_ROW = ("sequential", "wrapped loop")  # forms that are an `nn.Sequential`
STEPS = (2, 3, 4, 5, 6, 8, 9, 10, 12)
LONG = (17, 25, 33, 100)
ADDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": lambda a, b: a + b,
    "add": torch.add,
    "method": lambda a, b: a.add(b),
    "add_": lambda a, b: a.add_(b),
    "iadd": lambda a, b: a.__iadd__(b),
    "alpha=1": lambda a, b: torch.add(a, b, alpha=1),
}
ALPHAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "alpha=2": lambda a, b: torch.add(a, b, alpha=2),
    "add_ alpha=0.5": lambda a, b: a.add_(b, alpha=0.5),
    "alpha=-1": lambda a, b: a.add(b, alpha=-1),
    "alpha=0.3": lambda a, b: torch.add(a, b, alpha=0.3),
    "out": lambda a, b: torch.add(a, b, out=torch.empty_like(a)),
    "sub": lambda a, b: a - b,
    "sum": lambda a, b: torch.stack([a, b]).sum(0),
}


@dataclass(frozen=True)
class Case:
    """A model, what enters it, and how it is called.

    Attributes:
        loops: one call runs all time steps; else one call is one step.
        returns: "spikes" of a step or stacked, "pair" (with membranes), "dict", "late" (batch first), or "count".
        plain: it must be proven.
        tricks: what it does out of the way.
        state: the first states of a batch of forwards that take and return them; initial: what `lower` is told of it.
    """

    seed: int
    model: nn.Module
    shape: Shape
    low: int
    high: int
    step: float
    encoding: str
    steps: int
    loops: bool
    returns: str
    plain: bool
    tricks: tuple[str, ...]
    notes: tuple[str, ...]
    state: Callable[[int], tuple[Any, ...]] | None = None
    initial: Any = None

    @property
    def direct(self) -> bool:
        return self.encoding == "direct"

    def __str__(self) -> str:
        entry = f"input {self.shape} {self.low}..{self.high} * {self.step!r} {self.encoding}, {self.steps} steps"
        form = f"{'loop' if self.loops else 'step'} {self.returns}{' plain' if self.plain else ''} {self.tricks or ''}"
        return "\n    ".join([f"seed {self.seed}: {form}", entry, *self.notes])


class Stage(nn.Module):
    """Synapses and what follows them up to neurons, and what follows these.

    Attributes:
        current: modules one after another; `second` of another branch, whose current is added to it by `add`.
        after: modules behind the neurons; `skip` says how their spikes join the stage's input.
    """

    def __init__(self, current: list[nn.Module], neuron: nn.Module) -> None:
        super().__init__()
        self.current, self.neuron = nn.ModuleList(current), neuron
        self.second, self.after = nn.ModuleList(), nn.ModuleList()
        self.add: Callable[[Tensor, Tensor], Tensor] = ADDS["+"]
        self.skip = ""

    def current_of(self, x: Tensor) -> Tensor:
        value = run(self.current, x)
        return self.add(value, run(self.second, x)) if len(self.second) else value

    def behind(self, x: Tensor, spikes: Tensor) -> Tensor:
        if self.skip == "add":
            spikes = spikes + x
        elif self.skip == "iadd":
            spikes += x
        elif self.skip == "cat":
            spikes = torch.cat([x, spikes], dim=1)
        return run(self.after, spikes)

    def forward(self, x: Tensor) -> Tensor:
        """One time step of neurons that keep their states."""
        spikes = self.neuron(self.current_of(x))
        return self.behind(x, spikes[0] if isinstance(spikes, tuple) else spikes)


def run(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


class Steps(nn.Module):
    """One time step a call, the states in the neurons."""

    def __init__(self, stages: list[Stage], returns: str, clock: Clock | None = None) -> None:
        super().__init__()
        self.stages, self.returns, self.clock = nn.ModuleList(stages), returns, clock

    def forward(self, x: Tensor) -> Any:
        if self.clock is not None:
            self.clock.step += 1
        *hidden, last = self.stages
        x = run(hidden, x)
        result = last.neuron(last.current_of(x))
        if self.returns == "dict":
            return {"spikes": result}
        return result


class Loop(nn.Module):
    """All time steps in one call: x[step], a fixed number, or the input's own steps.

    Attributes:
        take: how a step gets its input; "hoisted" computes the first current once. `init` makes states, or resets them.
        feedback: synapses from the last layer's spikes of the step before to the first layer's current.
    """

    def __init__(self, stages: list[Stage], options: dict[str, Any]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.direct, self.steps = options["direct"], options["steps"]
        self.take, self.init, self.returns = options["take"], options["init"], options["returns"]
        self.hidden, self.shapes = options["hidden"], options["shapes"]
        self.feedback: nn.Module | None = options["feedback"]

    def _inputs(self, x: Tensor) -> Iterable[Tensor]:
        if self.direct:
            return (x for _ in range(self.steps))
        if self.take == "iter":
            return x
        if self.take == "unbind":
            return x.unbind(0)
        count = self.steps if self.take == "fixed" else x.size(0) if self.take == "size" else len(x)
        return (x[step] for step in range(count))

    def _states(self, stage: Stage, shape: Shape, batch: int) -> list[Tensor]:
        kind = type(stage.neuron).__name__
        if self.init == "init":
            made = getattr(stage.neuron, f"init_{kind.lower()}")()
        elif self.init == "reset":
            made = stage.neuron.reset_mem()
        else:
            count = {"Leaky": 1, "Lapicque": 1, "Synaptic": 2, "RLeaky": 2, "RSynaptic": 3}[kind]
            made = tuple(torch.zeros(batch, *shape) for _ in range(count))
        return list(made) if isinstance(made, tuple) else [made]

    def _reset(self) -> None:
        if self.init == "utils":
            utils.reset(self)
            return
        for stage in self.stages:
            stage.neuron.reset_mem()

    def forward(self, x: Tensor) -> Any:
        batch = x.shape[0 if self.direct else 1]
        if self.hidden:
            self._reset()
            states: list[list[Tensor]] = [[] for _ in self.stages]
        else:
            states = [self._states(*pair, batch) for pair in zip(self.stages, self.shapes, strict=True)]
        hoisted = self.stages[0].current_of(x) if self.take == "hoisted" else None
        last, recorded, membranes = torch.zeros(batch, *self.shapes[-1]), [], []
        for step, values in enumerate(self._inputs(x)):
            NOW.step = step
            for index, stage in enumerate(self.stages):
                current = stage.current_of(values) if index or hoisted is None else hoisted
                if index == 0 and self.feedback is not None:
                    current = current + self.feedback(last)
                result = stage.neuron(current, *states[index])
                spikes, *carried = result if isinstance(result, tuple) else (result,)
                if not self.hidden:
                    states[index] = [spikes, *carried] if type(stage.neuron).__name__.startswith("R") else carried
                values = stage.behind(values, spikes) if index + 1 < len(self.stages) else spikes
            last = values
            recorded.append(last)
            membranes.append(carried[-1] if carried else last)
        return self._returned(recorded, membranes)

    def _returned(self, spikes: list[Tensor], membranes: list[Tensor]) -> Any:
        if self.returns == "count":
            return sum(spikes)
        if self.returns == "late":
            return torch.stack(spikes, dim=1)
        if self.returns == "pair":
            return torch.stack(spikes), torch.stack(membranes)
        return {"spikes": torch.stack(spikes)} if self.returns == "dict" else torch.stack(spikes)


class Wrapped(nn.Module):
    """A loop over an `nn.Sequential` whose neurons keep their states, as in the tutorials."""

    def __init__(self, net: nn.Sequential, direct: bool, steps: int, returns: str) -> None:
        super().__init__()
        self.net, self.direct, self.steps, self.returns = net, direct, steps, returns

    def forward(self, x: Tensor) -> Any:
        utils.reset(self.net)
        recorded = []
        for step in range(self.steps):
            result = self.net(x if self.direct else x[step])
            recorded.append(result[0] if isinstance(result, tuple) else result)
        spikes = torch.stack(recorded)
        return spikes.sum(dim=0) if self.returns == "count" else spikes


def draw(seed: int) -> Case:
    """Everything about one model follows from the seed; of eight two are plain, and two at an edge of float32."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    if seed % 4 == 3:
        return _at_an_edge(seed, rng)
    dice = Draw(rng, plain=seed % 4 == 0)
    form = dice.pick("sequential", "sequential", "steps", "loop", "loop", "hidden loop", "wrapped loop")
    tricky = form not in IN_A_ROW and dice.chance(0.35)
    shape, low, high, step = _entry(dice)
    steps = dice.pick(*STEPS) if rng.random() < 0.9 or form == "sequential" else dice.pick(*LONG)
    direct, hidden = rng.random() < 0.5, form != "loop"
    stages, shapes = _stages(dice, form, shape, hidden, 1.5 / (step * max(abs(low), high)))
    clock, tricks = Clock() if form == "steps" and rng.random() < 0.4 else None, ()
    if tricky:
        tricks = (_insert(dice, stages, clock, 1 if form == "steps" and clock is None else steps),)
    counting = clock if tricky else None
    if form == "sequential":
        model: nn.Module = _sequential(dice, stages)
        returns = "pair" if stages[-1].neuron.output else "spikes"
    elif form == "wrapped loop":
        returns = dice.pick("spikes", "count")
        model = Wrapped(_sequential(dice, stages), direct, steps, returns)
    elif form == "steps":
        returns = "pair" if stages[-1].neuron.output else dice.pick("spikes", "spikes", "dict")
        model = Steps(stages, returns, counting)
    else:
        model = _looped(dice, stages, shapes, {"direct": direct, "steps": steps, "hidden": hidden})
        returns = model.returns
    entry = (shape, low, high, step, "direct" if direct else "sequence", steps)
    return Case(seed, model.eval(), *entry, "loop" in form, returns, dice.plain, tricks, (form, *dice.notes))


def _looped(dice: Draw, stages: list[Stage], shapes: list[Shape], options: dict[str, Any]) -> Loop:
    """The stages in a loop over time, in one of the ways in which people write it."""
    options["returns"] = dice.pick("spikes", "spikes", "pair", "dict", "late", "count")
    options |= {"take": dice.pick("fixed", "size", "len", "iter", "unbind"), "shapes": shapes}
    if options["direct"] and dice.chance(0.3):
        options["take"] = "hoisted"
    options["init"] = dice.pick("reset", "utils") if options["hidden"] else dice.pick("init", "reset", "zeros")
    options["feedback"] = _feedback(dice, shapes, stages) if dice.rng.random() < 0.25 else None
    dice.note(f"loop: take {options['take']}, init {options['init']}, feedback {options['feedback'] is not None}")
    return Loop(stages, options)


def _at_an_edge(seed: int, rng: random.Random) -> Case:
    """A model of one of the families of `edges`."""
    dice = Draw(rng, plain=False)
    name = dice.pick(*FAMILIES)
    edge = FAMILIES[name](dice)
    steps, encoding = dice.pick(3, 4, 9), dice.pick("direct", "sequence")
    model: nn.Module = nn.Sequential(*edge.modules)
    if edge.second is not None or not all(type(m).__module__.split(".")[0] != "tests" for m in edge.modules):
        *current, neuron = edge.modules
        stage = Stage(current, neuron)
        if edge.second is not None:
            stage.second = nn.ModuleList([edge.second])
            alpha = edge.alpha
            adds: list[Callable[[Tensor, Tensor], Tensor]] = [
                lambda a, b: torch.add(a, b, alpha=alpha),
                lambda a, b: a.add_(b, alpha=alpha),
            ]
            stage.add = dice.pick(*adds)
        model = Steps([stage], "spikes")
    shape, low, high, step = edge.entry
    notes = (f"edge: {name}", *dice.notes)
    return Case(seed, model.eval(), shape, low, high, step, encoding, steps, False, "spikes", False, (), notes)


def _entry(dice: Draw) -> tuple[Shape, int, int, float]:
    """Shape, range and step of the input."""
    low, high = dice.pick((0, 1), (0, 1), (0, 3), (-2, 2), (0, 15), (-8, 7), (0, 255))
    step = 1.0 if (low, high) == (0, 1) else 2.0 ** -dice.rng.randint(0, 8)
    if dice.chance(0.25):
        step = dice.pick(0.1, 1 / 255, 1 / 15, 0.3, 1 / 3, 2.0**-20, 1000.0, 0.7)
    if dice.chance(0.05):
        low, high = dice.pick((1, 3), (-3, -1), (-128, 127), (5, 9))
    shape: Shape = dice.pick((dice.rng.randint(1, 20),), (2, 6, 6), (1, 7, 5), (2, 9), (3, 4, 4))
    if dice.chance(0.06):
        shape = dice.pick((1, 16, 16), (1, 12, 12), (2, 8, 8))
    return shape, low, high, step


def _stages(dice: Draw, form: str, shape: Shape, hidden: bool, gain: float) -> tuple[list[Stage], list[Shape]]:
    """One to three stages; the last is fully connected."""
    stages, shapes = [], []
    for _ in range(dice.rng.randint(0, 2)):
        stage, made, shape = _stage(dice, form, shape, hidden, gain)
        stages.append(stage)
        shapes.append(made)
        gain = 2.0
    classes = dice.rng.randint(1, 3)
    current: list[nn.Module] = [_flat(dice, form)] if len(shape) > 1 else []
    if dice.chance(0.1):
        current.append(nn.Dropout(0.5))
    normed, back = dice.chance(0.2), dice.rng.random() < 0.3
    current.append(parts.dense(dice, math.prod(shape), classes, gain, exact=back))
    if normed:
        current.append(parts.norm(dice, (classes,)))
    output = hidden and form != "hidden loop" and dice.rng.random() < 0.25
    stages.append(Stage(current, parts.neuron(dice, (classes,), hidden, back and not normed, output)))
    shapes.append((classes,))
    return stages, shapes


def _flat(dice: Draw, form: str) -> nn.Module:
    if form in IN_A_ROW or dice.rng.random() < 0.4:
        return nn.Flatten()
    how = dice.pick("flatten", "view", "reshape", "torch")
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "flatten": lambda x: x.flatten(1),
        "view": lambda x: x.reshape(x.size(0), -1).view(x.size(0), -1),
        "reshape": lambda x: x.reshape(x.shape[0], -1),
        "torch": lambda x: torch.flatten(x, start_dim=1),
    }
    return Function(functions[how])


def _stage(dice: Draw, form: str, shape: Shape, hidden: bool, gain: float) -> tuple[Stage, Shape, Shape]:
    """A stage, the shape of its neurons, and of what it gives."""
    planes, free = len(shape) == 3, form not in IN_A_ROW
    current: list[nn.Module] = []
    large = planes and min(shape[1:]) >= 8
    if (
        planes and min(shape[1:]) >= 3 and dice.chance(0.7 if large else 0.12)
    ):  # of what enters or of spikes, before any synapses
        current.append(parts.pool(dice, shape, not free))
        shape_in = _through(current, shape)
    else:
        shape_in = shape
    branches = free and len(shape) > 1 and dice.rng.random() < 0.3
    channels = shape[0] if branches else None
    back = dice.rng.random() < 0.4
    if branches:
        current, shape_in = [], shape
    if len(shape) > 1:
        current.append(parts.convolution(dice, shape_in, gain, channels))
        back = back and branches
    else:
        current.append(parts.dense(dice, shape[0], dice.rng.randint(2, 6), gain, exact=back or form == "loop"))
    made = _through(current, shape)
    if dice.chance(0.25) and not branches and not back:
        current.append(parts.norm(dice, made))
    elif planes and min(made[1:]) >= 2 and dice.rng.random() < 0.25 and not branches:
        current.append(parts.pool(dice, made, not free))
        made = _through(current, shape)
    stage = Stage(current, parts.neuron(dice, made, hidden, back))
    if branches:
        _branch(dice, stage, shape, gain)
    given = _behind(dice, stage, made, free)
    return stage, made, given


def _through(modules: list[nn.Module], shape: Shape) -> Shape:
    with torch.no_grad():
        for module in modules:
            module.eval()
        return tuple(run(modules, torch.zeros(1, *shape)).shape[1:])


def _branch(dice: Draw, stage: Stage, shape: Shape, gain: float) -> None:
    """Currents of a second branch, or spikes joined with what entered."""
    how = dice.pick("current", "current", "add", *([] if dice.plain else ["cat", "iadd"]))
    if how == "current":
        stage.second = nn.ModuleList([parts.convolution(dice, shape, gain, shape[0])])
        adds = ADDS | (ALPHAS if dice.chance(0.4) else {})
        name = dice.pick(*adds)
        stage.add = adds[name]
        dice.note(f"a second branch of currents, joined by {name}")
        return
    stage.skip = how
    dice.note(f"spikes and input joined by {how}")


def _behind(dice: Draw, stage: Stage, made: Shape, free: bool) -> Shape:
    shape = (2 * made[0], *made[1:]) if stage.skip == "cat" else made
    if len(shape) == 3 and min(shape[1:]) >= 2 and dice.rng.random() < 0.25:
        stage.after.append(parts.pool(dice, shape, not free))
    return _through(list(stage.after), shape)


def _feedback(dice: Draw, shapes: list[Shape], stages: list[Stage]) -> nn.Module | None:
    """Synapses from the last spikes to the first neurons; norms and further branches do not go with it."""
    first = stages[0].current[-1]
    if len(shapes[0]) > 1 or not isinstance(first, QuantLinear) or (dice.plain and len(stages) == 1):
        return None
    return parts.dense(dice, shapes[-1][0], shapes[0][0], exact=True)


def _sequential(dice: Draw, stages: list[Stage]) -> nn.Sequential:
    """Flat, an `nn.Sequential` a stage, or blocks of the user's own."""
    if dice.chance(0.1) and not stages[-1].neuron.output:
        dice.note("blocks")
        return nn.Sequential(*stages)
    blocks = [nn.Sequential(*stage.current, stage.neuron, *stage.after) for stage in stages]
    return nn.Sequential(*blocks) if dice.rng.random() < 0.3 else nn.Sequential(*(m for block in blocks for m in block))


def _insert(dice: Draw, stages: list[Stage], clock: Clock | None, steps: int) -> str:
    """One trick, on the current of one stage, in front of its synapses, or behind its neurons."""
    stage = dice.rng.choice(stages)
    synapses = next(m for m in stage.current if hasattr(m, "weight_quant"))
    trick = draw_trick(dice.rng, clock, steps, synapses, stage.neuron)
    where = dice.pick("current", "current", "front", "behind")
    if where == "behind" and stage is not stages[-1]:
        stage.after.append(trick)
    elif where == "front" or trick.held.target is synapses:
        stage.current.insert(0, trick)
    else:
        stage.current.append(trick)
    label = "harmless " if trick.name in HARMLESS else ""
    return f"{label}{trick.name} {where} from {trick.when}{' once' if trick.once else ''}"


def neurons_of(model: nn.Module) -> list[tuple[str, Any]]:
    """Names and neuron modules, in the order in which they are registered."""
    modules = [*model.named_modules(), *unregistered(model)]
    return [(name, module) for name, module in modules if isinstance(module, snn.SpikingNeuron)]


def unregistered(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Layers in plain lists and dictionaries of a model, which it does not know of."""
    kept = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    items = [(name, dict(enumerate(value)) if isinstance(value, list) else value) for name, value in kept.items()]
    found = [(f"{name}.{key}", part) for name, value in items if isinstance(value, dict) for key, part in value.items()]
    return [(name, part) for name, part in found if isinstance(part, nn.Module)]
