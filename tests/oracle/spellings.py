"""Forwards in many spellings, drawn as source text: loops, blocks, lists, states in every container, odd things."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from tests.oracle import parts
from tests.oracle.models import LONG, STEPS, Case
from tests.oracle.parts import Draw
from tests.oracle.written import ODD_STATE, ODD_STEP, ODD_VALUE, SAME, VALUE

HEAD = """
import random
from collections import namedtuple
from dataclasses import dataclass
from typing import NamedTuple
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn
"""
CONTAINERS = ("tuple", "list", "dict", "dataclass", "namedtuple", "typed", "spread", "nested", "object")


@dataclass
class Spelling:
    """Lines of a class, and what is known of its states.

    Attributes:
        names: of the states, in order, and how many values a state of a layer is.
        sizes: of the neurons of each of them.
    """

    dice: Draw
    names: list[str]
    sizes: list[int]
    odd: bool

    def same(self, choices: tuple[str, ...], odd: tuple[str, ...], value: str, share: float = 0.5) -> str:
        """A value as it is written once."""
        if self.odd and self.dice.rng.random() < 0.12:
            return self.dice.pick(*odd).format(value)
        return self.dice.pick(*choices).format(value) if self.dice.rng.random() < share else value

    def packed(self, container: str) -> str:
        """The states in their container."""
        pairs = [f"{name}={name}" for name in self.names]
        if container in ("dataclass", "namedtuple", "typed", "object"):
            return f"State({', '.join(pairs)})"
        if container == "dict":
            return "{" + ", ".join(f"'{name}': {name}" for name in self.names) + "}"
        if container == "nested":
            return f"([{self.names[0]}], {{'rest': ({''.join(f'{name}, ' for name in self.names[1:])})}})"
        names = "".join(f"{name}, " for name in self.names)
        return f"[{names}]" if container == "list" else f"({names})"

    def unpacked(self, container: str) -> list[str]:
        """Lines that take them out of `state`."""
        if container in ("dataclass", "namedtuple", "typed", "object"):
            return [f"{name} = state.{name}" for name in self.names]
        if container == "dict":
            return [f"{name} = state['{name}']" for name in self.names]
        if container == "nested":
            return [f"{self.names[0]}, = state[0]", f"{''.join(f'{n}, ' for n in self.names[1:])} = state[1]['rest']"
                    if self.names[1:] else "pass"]  # fmt: skip
        return [f"{''.join(f'{name}, ' for name in self.names)} = state"]


def _state_class(container: str, names: list[str]) -> str:
    fields = "".join(f"    {name}: object\n" for name in names)
    if container == "dataclass":
        return f"@dataclass\nclass State:\n{fields}"
    if container == "typed":
        return f"class State(NamedTuple):\n{fields}"
    if container == "namedtuple":
        return f"State = namedtuple('State', {names})\n"
    body = "".join(f"        self.{name} = {name}\n" for name in names)
    return f"class State:\n    def __init__(self, {', '.join(names)}):\n{body}" if container == "object" else ""


def _layer(spelling: Spelling, index: int, store: str, states: list[str], value: str, hidden: bool) -> list[str]:
    """Lines of one layer in one step; its spikes are `spk`."""
    place = {"attributes": "self.{0}%d", "list": "self.{0}s[%d]", "dict": "self.{0}s['n%d']"}[store] % index
    current = spelling.same(VALUE, ODD_VALUE, f"{place.format('fc')}({spelling.same(VALUE, ODD_VALUE, value)})", 0.3)
    if spelling.dice.rng.random() < 0.5:
        lines, current = [f"cur = {current}"], "cur"
    else:
        lines = []
    given = "" if hidden else "".join(f", {name}" for name in states)
    left = "spk" if hidden else ", ".join(["spk", *states])
    return [*lines, f"{left} = {place.format('lif')}({current}{given})"]


def _started(spelling: Spelling, neurons: list[Any], store: str, init: str, batch: str) -> list[str]:
    """Lines that make the first states."""
    lines, place = [], 0
    for index, neuron in enumerate(neurons):
        kind = type(neuron).__name__
        count = 2 if kind == "Synaptic" else 1
        own, at = ", ".join(spelling.names[place : place + count]), _places(store, len(neurons))[index]
        zeros = ", ".join([f"torch.zeros({batch}, {spelling.sizes[place]})"] * count)
        made = {"init": f"self.{at}.init_{kind.lower()}()", "reset": f"self.{at}.reset_mem()", "zeros": zeros,
                "none": ", ".join(["None"] * count)}[init]  # fmt: skip
        lines.append(f"{own} = {made}")
        place += count
    return lines


def draw_spelling(seed: int) -> Case:
    """Everything about one forward follows from the seed; of three, two hold nothing odd and must be proven."""
    rng = random.Random(f"spelling {seed}")
    torch.manual_seed(seed)
    dice = Draw(rng, plain=True)
    odd = seed % 3 == 2
    form = dice.pick("step", "step", "hidden step", "loop", "loop", "hidden loop", "whole")
    hidden = form.startswith("hidden")
    widths = [rng.randint(2, 8) for _ in range(rng.randint(2, 4))]
    synapses = [parts.dense(dice, a, b, exact=True) for a, b in pairwise(widths)]
    neurons = [parts.neuron(dice, (width,), hidden, recurrent=False) for width in widths[1:]]
    names, sizes = [], []
    for index, (neuron, width) in enumerate(zip(neurons, widths[1:], strict=True)):
        own = [f"y{index}", f"m{index}"] if type(neuron).__name__ == "Synaptic" else [f"m{index}"]
        names, sizes = names + own, sizes + [width] * len(own)
    spelling = Spelling(dice, names, sizes, odd)
    direct = form != "whole" and rng.random() < 0.5
    steps = dice.pick(*STEPS) if rng.random() < 0.93 else dice.pick(*LONG[:2])
    container = dice.pick(*CONTAINERS)
    store = dice.pick("attributes", "list", "dict")
    source, returns, first, initial = _source(spelling, neurons, form, store, container, direct, steps)
    if not hidden and random.Random(f"plain {seed}").random() < 0.5:  # layers that the model does not know of
        source = source.replace("nn.ModuleList(", "list(").replace("nn.ModuleDict(", "dict(")
    model = _executed(source, synapses, neurons, steps)
    state, stated = _states(model, spelling, container, first, initial)
    entry = ((widths[0],), 0, 1, 1.0, "direct" if direct else "sequence", steps)
    loops = form in ("loop", "hidden loop", "whole")
    tricks = ("odd",) if odd else ()
    return Case(seed, model.eval(), *entry, loops, returns, not odd, tricks, (form, *dice.notes, source), state, stated)


def _source(
    spelling: Spelling, neurons: list[Any], form: str, store: str, container: str, direct: bool, steps: int
) -> tuple[str, str, str, str]:
    """The text of a class, what it returns, and how its first state is given to it and to whoever lowers it."""
    dice, hidden = spelling.dice, form.startswith("hidden")
    batch = "x.size(0)" if direct or "step" in form else "x.size(1)"
    init = dice.pick("init", "reset", "zeros", "none")
    value, body, place = "xt", [], 0
    for index, neuron in enumerate(neurons):
        count = 2 if type(neuron).__name__ == "Synaptic" else 1
        own = spelling.names[place : place + count]
        body += _layer(spelling, index, store, own, value, hidden)
        if spelling.odd and dice.rng.random() < 0.1:
            body.append(dice.pick(*ODD_STEP).format("spk"))
        value, place = "spk", place + count
    if not hidden:
        body += [f"{name} = {spelling.same(SAME, ODD_STATE, name, 0.4)}" for name in spelling.names]
    started = _started(spelling, neurons, store, init, batch)
    first, initial = "", ""
    if form == "step":
        first, initial, head, lines, returns = _stepped(spelling, container, started, body)
    elif form == "hidden step":
        head, lines = "def forward(self, x):", ["step, xt = 0, x", *body]
        returns = dice.pick("spikes", "dict")
        lines.append("return {'spikes': spk}" if returns == "dict" else "return spk")
    else:
        reset = dice.pick(["utils.reset(self)"], [f"self.{at}.reset_mem()" for at in _places(store, len(neurons))])
        loop, returns = _looped(spelling, body, direct, hidden)
        if form == "whole":
            first, initial, head = "(None,)", "None", "def forward(self, x, state=None):"
            start = ["if state is None:", *(f"    {line}" for line in started), "else:",
                     *(f"    {line}" for line in spelling.unpacked(container))]  # fmt: skip
            *loop, last = loop
            lines = [*start, *loop, f"return {last.removeprefix('return ')}, {_own(spelling, container)}"]
        else:
            head, lines = "def forward(self, x):", [*(reset if hidden else started), *loop]
    kept = _state_class(container, spelling.names)
    text = f"{HEAD}\n{kept}\nclass Net(nn.Module):\n{_made(store)}\n    {head}\n" + "".join(
        f"        {x}\n" for x in lines
    )
    return text, returns, first, initial


def _own(spelling: Spelling, container: str) -> str:
    return spelling.packed("tuple" if container == "spread" else container)


def _stepped(
    spelling: Spelling, container: str, started: list[str], body: list[str]
) -> tuple[str, str, str, list[str], str]:
    dice = spelling.dice
    optional = dice.rng.random() < 0.4
    run = ["step, xt = 0, x", *body]
    if container == "spread":
        head = f"def forward(self, x, {', '.join(name + '=None' * optional for name in spelling.names)}):"
        back = ", ".join(spelling.names)
        first = f"({', '.join(['None'] * len(spelling.names))},)"
        returned = (
            f"return spk, {back}" if len(spelling.names) == 1 or dice.rng.random() < 0.7 else f"return spk, ({back},)"
        )
        return first, "None", head, [*run, returned], "spikes"
    out = dice.pick("spk", "spk", f"spk, {spelling.names[-1]}")
    end = f"return {out}, {spelling.packed(container)}"
    if optional:
        start = ["if state is None:", *(f"    {line}" for line in started), "else:",
                 *(f"    {line}" for line in spelling.unpacked(container))]  # fmt: skip
        return "(None,)", "None", "def forward(self, x, state=None):", [*start, *run, end], "spikes"
    first = dice.pick("zeros(0)", "zeros(batch, size)", "None")
    return first, first, "def forward(self, x, state):", [*spelling.unpacked(container), *run, end], "spikes"


def _places(store: str, count: int) -> list[str]:
    form = {"attributes": "lif{}", "list": "lifs[{}]", "dict": "lifs['n{}']"}[store]
    return [form.format(index) for index in range(count)]


def _looped(spelling: Spelling, body: list[str], direct: bool, hidden: bool) -> tuple[list[str], str]:
    dice = spelling.dice
    heads = (
        ["for step in range(self.steps):", "xt = x"],
        ["step = -1", "while step + 1 < self.steps:", "step += 1; xt = x"],
    )
    if not direct:
        heads = (["for step in range(x.size(0)):", "xt = x[step]"], ["for step, xt in enumerate(x):"],
                 ["for step in range(len(x)):", "xt = x[step, :]"], ["for step, xt in enumerate(x.unbind(0)):"],
                 ["for step in range(self.steps):", "xt = x[step]"], ["for step, xt in zip(range(len(x)), x):"],
                 ["step = -1", "while step + 1 < x.shape[0]:", "step += 1; xt = x.select(0, step)"])  # fmt: skip
    head = dice.pick(*heads)
    loop = next(line for line in head if line.endswith(":"))
    inside = head[head.index(loop) + 1 :] + body
    kept = dice.pick("stack", "stack", "stack", "late", "sum", "total", "filled", "cat", "pair")
    kept = "stack" if kept == "pair" and hidden else kept
    before = {"sum": ["out = []"], "total": ["out = 0"], "filled": ["out = None"]}.get(kept, ["out, mems = [], []"])
    keep = {"total": ["out = out + spk"], "filled": ["if out is None: out = torch.zeros(self.steps, *spk.shape)",
                                                     "out[step] = spk"]}.get(kept, ["out.append(spk)"])  # fmt: skip
    keep += [f"mems.append({spelling.names[-1]})"] if kept == "pair" else []
    ends = {"late": ("torch.stack(out, dim=1)", "late"), "sum": ("sum(out)", "count"), "total": ("out", "count"),
            "filled": ("out", "spikes"), "cat": ("torch.cat([o[None] for o in out])", "spikes"),
            "pair": ("(torch.stack(out), torch.stack(mems))", "pair")}  # fmt: skip
    end, returns = ends.get(kept, ("torch.stack(out)", "spikes"))
    return [*before, *head[: head.index(loop)], loop, *(f"    {x}" for x in (*inside, *keep)), f"return {end}"], returns


def _made(store: str) -> str:
    kinds = {"list": "nn.ModuleList({0})", "dict": "nn.ModuleDict({{f'n{{i}}': m for i, m in enumerate({0})}})"}
    lines = ["super().__init__()", "self.steps, self.count, self.kept = steps, 0, []",
             "self.drop, self.same = nn.Dropout(0.5), nn.Identity()"]  # fmt: skip
    if store == "attributes":
        each = ["setattr(self, f'fc{i}', fc)", "setattr(self, f'lif{i}', lif)"]
        lines += ["for i, (fc, lif) in enumerate(zip(fcs, lifs)):", *(f"    {line}" for line in each)]
    else:
        lines += [f"self.fcs, self.lifs = {kinds[store].format('fcs')}, {kinds[store].format('lifs')}"]
    return "    def __init__(self, fcs, lifs, steps):\n" + "".join(f"        {line}\n" for line in lines)


def _executed(source: str, synapses: list[Any], neurons: list[Any], steps: int) -> Any:
    space: dict[str, Any] = {"__name__": "spelled"}
    exec(compile(source, "spelled.py", "exec", dont_inherit=True), space)
    model = space["Net"](synapses, neurons, steps)
    model.__dict__["drawn_state"] = space.get("State")
    return model


def _states(
    model: Any, spelling: Spelling, container: str, first: str, initial: str
) -> tuple[Callable[[int], tuple[Any, ...]] | None, Any]:
    """How the oracle starts a sequence of a batch, and what `lower` is told; None for forwards without states."""
    kind = model.__dict__.pop("drawn_state")
    if not first or first.startswith("("):
        return (None if not first else lambda batch: eval(first)), None

    def made(batch: int) -> tuple[Any, ...]:
        texts = {"zeros(0)": "torch.zeros(0)", "zeros(batch, size)": "torch.zeros({0}, {1})", "None": "None"}
        values = {
            name: eval(texts[first].format(batch, size))
            for name, size in zip(spelling.names, spelling.sizes, strict=True)
        }
        return (eval(spelling.packed(container), {"State": kind, **values}),)

    return made, made(1)[0] if initial == "zeros(0)" else (lambda: made(3)[0])
