"""One drawn model against the network made of it: equal, refused, or a fault of the product."""

from __future__ import annotations

import copy
import random
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError, SquatError
from squat_deploy.readers.nir.model import NirModel, NirOptions
from squat_deploy.snn.running import run_model
from tests.oracle.aimed import aim_thresholds, inputs_for
from tests.oracle.loop import Record, play
from tests.oracle.models import Case, draw
from tests.oracle.nir_graphs import Euler, draw_frames, draw_nir
from tests.oracle.spellings import draw_spelling

_SAMPLES = 20
_NIR_STEPS = 40
_MANY = 255  # a batch in which BLAS takes another way


@dataclass(frozen=True)
class Verdict:
    """What became of one seed.

    Attributes:
        kind: "equal", "refused", "differs" (proven, and another result), or "broken" (another error than a refusal).
        rule: of a refusal, its first rule; else what went wrong.
        values: numbers compared.
    """

    seed: int
    kind: str
    rule: str
    values: int
    tricks: tuple[str, ...]
    plain: bool
    text: str

    @property
    def wrong(self) -> bool:
        return self.kind in ("differs", "broken") or (self.plain and self.kind != "equal")


def judge(seed: int) -> Verdict:
    """Draws, lowers, runs and compares one model."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            case = draw(seed)
        except Exception as error:  # noqa: BLE001
            return Verdict(seed, "broken", f"drawing: {type(error).__name__}: {error}", 0, (), False, "")
        rng = random.Random(f"judge {seed}")  # other dice than those of the model
        kind, rule, values = outcome(case, _aimed(case, rng), rng)
    return Verdict(seed, kind, rule, values, case.tricks, case.plain, str(case))


def judge_spelling(seed: int) -> Verdict:
    """The same of a forward that is drawn as source text."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = draw_spelling(seed)
        kind, rule, values = outcome(case, None, random.Random(f"judge {seed}"))
    return Verdict(seed, kind, rule, values, case.tricks, case.plain, str(case))


def _aimed(case: Case, rng: random.Random) -> NDArray[np.int64] | None:
    """Thresholds moved to currents, where the model runs at all."""
    if case.plain or rng.random() < (0.15 if case.notes[0].startswith("edge") else 0.5):
        return None
    try:
        return aim_thresholds(case, rng)
    except Exception:  # noqa: BLE001 (a model that cannot run is refused, or found out later)
        return None


def outcome(case: Case, aimed: NDArray[np.int64] | None, rng: random.Random) -> tuple[str, str, int]:
    """(kind, rule, values) of a verdict."""
    given = copy.deepcopy(case.model)
    try:
        spec = sd.InputSpec(case.shape, case.low, case.high, case.step, case.encoding)  # type: ignore[arg-type]
        network = sd.lower(given, spec, case.steps, initial_state=case.initial)
    except (LoweringError, ConfigError) as error:
        return "refused", _rule_of(error), 0
    except Exception as error:  # noqa: BLE001 (whatever it is, it is no refusal)
        return "broken", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", 0
    if not network.certificate.proven:
        return "broken", "a network that is not proven, and was not asked for", 0
    if changed := _changed(case.model, given):
        return "broken", f"lowering changed {changed}", 0
    values = 0
    for inputs in _batches(case, network, aimed, rng):
        try:
            record = play(case, inputs)
        except Exception as error:  # noqa: BLE001 (the user's own code)
            return "differs", f"the model itself raises {type(error).__name__}: {error}", values
        wrong, count = compare(network, record, inputs)
        values += count
        if wrong:
            return "differs", f"{wrong} (batch of {inputs.shape[0 if case.direct else 1]})", values
    return "equal", "", values


def _changed(before: torch.nn.Module, after: torch.nn.Module) -> str:
    """Name of a tensor that is another one; Brevitas adds some at the first use of a quantizer."""
    new = after.state_dict()
    return next((key for key, value in before.state_dict().items() if not torch.equal(value, new[key])), "")


def _rule_of(error: Exception) -> str:
    faults = getattr(error, "faults", ())
    return re.sub(r"[0-9][0-9.e+-]*", "#", faults[0].rule if faults else str(error).splitlines()[0])


def _batches(case: Case, network: Any, aimed: NDArray[np.int64] | None, rng: random.Random) -> list[NDArray[np.int64]]:
    """All samples together, two of them alone, and sometimes many."""
    axis = 0 if case.direct else 1
    inputs = inputs_for(case, network, rng, _SAMPLES)
    if aimed is not None:
        inputs = np.concatenate([inputs, aimed], axis=axis)
    count = inputs.shape[axis]
    batches = [inputs, *(inputs.take([place], axis=axis) for place in (count - 1, rng.randrange(count)))]
    if rng.random() < 0.1 and inputs.size * _MANY // count < 2**19:
        batches.append(inputs.take(np.arange(_MANY) % count, axis=axis))
    return batches


def judge_nir(seed: int) -> Verdict:
    """Draws and reads one NIR graph, and compares every spike with Euler's rule on the graph itself."""
    torch.set_num_threads(1)
    graph, stated = draw_nir(seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            nir.write(Path(folder) / "net.nir", graph)
            read = sd.read_nir(Path(folder) / "net.nir", NirOptions(**vars(stated)))  # type: ignore[arg-type]
        frames = draw_frames(read.shape, _NIR_STEPS, seed)
        want, got = Euler(graph, stated).run(frames), spikes_of(read, frames)
    except SquatError as error:
        return Verdict(seed, "refused", f"NIR: {_rule_of(error)}", 0, (), False, str(stated))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is no refusal)
        return Verdict(seed, "broken", f"NIR: {type(error).__name__}: {error}", 0, (), False, str(stated))
    wrong = [name for (name, theirs), ours in zip(want.items(), got, strict=True) if (theirs != ours).any()]
    kind = "differs" if wrong else "equal"
    return Verdict(seed, kind, f"NIR: spikes of {', '.join(wrong)}", sum(map(np.size, got)), (), False, str(stated))


def spikes_of(read: NirModel, frames: NDArray[Any]) -> list[NDArray[Any]]:
    """Spikes (T, ...) of every neuron layer that was read."""
    data = torch.from_numpy(frames.astype(np.float32))[:, None]
    traces = run_model(read.model, data, len(frames), direct=False).values()
    return [torch.stack(trace.spikes)[:, 0].numpy() for trace in traces]


def compare(network: Any, record: Record, inputs: NDArray[np.int64]) -> tuple[str, int]:
    """What differs first ("" if nothing does), and how many numbers were compared."""
    result = sd.simulate(network, inputs, trace=True)
    values = 0
    for neuron, layer in zip(network.neurons, result.trace or (), strict=True):
        name = neuron.name
        if name not in record.spikes:
            return f"{name}: the model has no such neurons", values
        ours, theirs = layer.spikes, record.spikes[name]
        if ours.shape != theirs.shape or (ours != theirs).any():
            return f"spikes of {name}: {_place(ours, theirs)}", values
        membranes = neuron.membranes_of(layer.states)
        if (membranes != record.membranes[name]).any():
            return f"membranes of {name}: {_place(membranes, record.membranes[name])}", values
        values += ours.size + membranes.size
    last = (result.trace or ())[-1].spikes
    counts = record.returned.ndim == 2
    if counts:
        last = last.sum(axis=0)
        factor = record.returned[last > 0].min() / max(1, last[last > 0].min()) if last.any() else 1.0
        if not np.allclose(record.returned, last * factor, atol=1e-4):
            return "what the model returned", values
    elif last.shape != record.returned.shape or (last != record.returned).any():
        return f"what the model returned: {_place(last, record.returned)}", values
    if (result.scores != (result.trace or ())[-1].spikes.sum(axis=0)).any():
        return "scores", values
    return "", values + last.size


def _place(ours: NDArray[Any], theirs: NDArray[Any]) -> str:
    if ours.shape != theirs.shape:
        return f"shapes {ours.shape} and {theirs.shape}"
    wrong = np.argwhere(ours != theirs)
    step, sample, number = wrong[0].tolist()
    return f"{len(wrong)} of {ours.size}, first at step {step}, sample {sample}, neuron {number}"
