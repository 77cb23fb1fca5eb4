"""The state dict of a model in what training scripts save: found among other things, and under other names.

Nothing is guessed: every weight of the model is found, or the file is refused; all that was done to fit it is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, FileFormatError
from squat_deploy.snn.neurons import NEURONS
from squat_deploy.snn.quantizers import StateQuantizer, closure_levels

State: TypeAlias = dict[str, Any]
_WRAPPERS = ("module", "_orig_mod")  # parts of names that torch's wrappers add, wherever they stand
_KNOWN = (*_WRAPPERS, "model", "net", "network", "snn")  # in front of names, as training scripts call a model
_DEPTH = 2  # of dictionaries in a file
_SHOWN = 4
_LONG = 256  # letters of a name, in which a prefix ends
_FIXED = ("graded_spikes_factor", "reset_mechanism_val")  # of neurons, which older snnTorch does not save
_LEVELS = "state_quant.levels"
_STATES = ("spk", "syn", "mem", "syn_exc", "syn_inh")  # which older snnTorch saves
_COUNTERS = ("n_averaged", "num_batches_tracked")  # of averaging and of batch norms: no part of what is computed


@dataclass(frozen=True, eq=False)
class Found:
    """A state dict in a file, under the names of a model.

    Attributes:
        key: where it stands in the file; empty where it is the file.
        state: by the model's names; others: names in the file that stand outside of what was taken.
        matched: how many of the model's names are in it: of those that must be, and of all.
        again: where else in the file a weight of the model stands that is another there.
    """

    key: str
    state: State
    others: tuple[str, ...]
    notes: tuple[str, ...]
    matched: tuple[int, int]
    again: str | None = None


def found_in(path: object, content: Any, model: nn.Module) -> Found:
    """The state dict of a model in what a file holds. Raises: FileFormatError where none or more than one is there."""
    entries = dict(_state_dicts(content))
    if not entries:
        _refuse(path, content)
    for state in entries.values():
        _check_tensors(path, state)
    modules, wanted = dict(model.named_modules()), list(model.state_dict())
    needed = {name for name in wanted if not _may_miss(modules, name)}
    fitting = [_renamed(key, state, wanted, needed) for key, state in entries.items()]
    fitting.sort(key=lambda found: found.matched, reverse=True)
    best = [found for found in fitting if found.matched[0] == fitting[0].matched[0]]
    if any(_differing(best[0].state, other.state, wanted) for other in best[1:]):
        names = " and ".join(found.key for found in best)
        hint = f"save the one that is meant alone, as torch.save(file[{best[0].key.split('.')[0]!r}], path)"
        raise FileFormatError(f"{path}: holds {len(best)} state dicts of this model, {names}; {hint}")
    if best[0].again is not None and best[0].matched[0] == len(needed):  # else it is that of another model
        hint = "save the one that is meant alone, as torch.save(model.state_dict(), path)"
        raise FileFormatError(f"{path}: holds weights of this model twice, {best[0].again}; {hint}")
    return best[0]


def _state_dicts(content: Any, key: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, State]]:
    """Every mapping of names to tensors in a file, with where it stands."""
    if not isinstance(content, Mapping):
        return
    if content and all(isinstance(name, str) and _is_entry(name, value) for name, value in content.items()):
        yield key, dict(content)
    elif depth:
        for name, value in content.items():
            yield from _state_dicts(value, f"{key}.{name}" if key else str(name), depth - 1)


def _is_entry(name: str, value: object) -> bool:
    return isinstance(value, Tensor) or name.endswith("_extra_state")


def _refuse(path: object, content: Any) -> None:
    """Raises: FileFormatError with what is there instead of a state dict."""
    if not isinstance(content, Mapping) or not content:
        what = "an empty dictionary" if isinstance(content, Mapping) else type(content).__name__
        raise FileFormatError(f"{path}: holds {what}, not a state dict; save model.state_dict()")
    inner = content.get("state_dict", content)
    inner = inner if isinstance(inner, Mapping) and inner else content
    key, value = next((key, value) for key, value in inner.items() if not _is_entry(str(key), value))
    raise FileFormatError(
        f"{path}: not a state dict: {key!r} is {type(value).__name__}, not a tensor; save model.state_dict()"
    )


def _check_tensors(path: object, state: State) -> None:
    for key, value in state.items():
        if isinstance(value, Tensor) and (value.is_complex() or value.is_quantized or value.layout != torch.strided):
            raise FileFormatError(
                f"{path}: {key}: complex, quantized or sparse tensors are not read; got {value.dtype}"
            )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first of these names that stands for another value in each of two."""
    return next((name for name in names if name in one and name in other and not _same(one[name], other[name])), None)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or torch.equal(one, other)
    return bool(one == other)


# Names


def _renamed(key: str, state: State, wanted: list[str], needed: set[str]) -> Found:
    """The renaming under which most of the model's names are found; the least of those that find as many."""
    best: Found | None = None
    notes = (f"took {key!r} of the file",) if key else ()
    for told, rename in _renamings(state, wanted):
        names = {name: rename(name) for name in state}
        sources = {new: old for old, new in names.items() if new is not None}
        kept = {new: state[old] for new, old in sources.items()}
        matched = len(needed & kept.keys()), sum(name in kept for name in wanted)
        twice = [*_twice(state, names, sources, wanted)]
        if best is not None and matched[0] == best.matched[0] and (name := _differing(best.state, kept, wanted)):
            twice.append(f"{name} by two prefixes")
        if best is None or matched > best.matched:
            others = tuple(old for old, new in names.items() if new is None)
            best = Found(key, kept, others, (*notes, *told), matched, next(iter(twice), None))
        elif twice and matched[0] == best.matched[0]:
            best = replace(best, again=best.again or twice[-1])
    assert best is not None  # the first renaming changes nothing
    return best


def _twice(
    state: State, names: Mapping[str, str | None], sources: Mapping[str, str], wanted: Iterable[str]
) -> Iterator[str]:
    """Weights of the model that are in a file under a name that was taken, and another value under one that was not."""
    model = set(wanted)
    for old, new in names.items():
        meant = new if new is not None else old
        if meant in model and meant in sources and not _same(state[old], state[sources[meant]]):
            yield f"{old} and {sources[meant]}"


Renaming: TypeAlias = Callable[[str], str | None]


def _renamings(state: State, wanted: Iterable[str]) -> Iterator[tuple[tuple[str, ...], Renaming]]:
    """What may have been put into names on the way from the model to the file, and how to say it."""
    yield (), lambda name: name
    wanted = list(wanted)
    for wrappers in ((), _WRAPPERS[1:], _WRAPPERS):
        cleaned = {name: _without(name, wrappers) for name in state}
        told = _told_wrappers(state, wrappers)
        yield told, cleaned.__getitem__
        for prefix in _prefixes(cleaned.values(), wanted):
            yield (*told, f"took {prefix!r} off the names"), _stripping(cleaned, prefix)
        for prefix in _prefixes(wanted, list(cleaned.values())):
            yield (*told, f"put {prefix!r} before the names"), _adding(cleaned, prefix)


def _told_wrappers(state: State, wrappers: tuple[str, ...]) -> tuple[str, ...]:
    taken = [repr(f"{part}.") for part in wrappers if any(part in name.split(".") for name in state)]
    return (f"took {' and '.join(taken)} out of the names",) if taken else ()


def _without(name: str, parts: tuple[str, ...]) -> str:
    return ".".join(part for part in name.split(".") if part not in parts)


def _prefixes(names: Iterable[str], wanted: list[str]) -> list[str]:
    """What stands before a wanted name in some names: of known parts, or the same before all of them."""
    names, ends = list(names), set(wanted)
    dots = ((name, at) for name in names for at in (m.end() for m in re.finditer(r"\.", name[:_LONG])))
    found = {name[:at] for name, at in dots if name[at:] in ends}
    return sorted(
        prefix
        for prefix in found
        if set(prefix.split(".")) <= {*_KNOWN, ""} or all(name.startswith(prefix) for name in names)
    )


def _stripping(cleaned: Mapping[str, str], prefix: str) -> Renaming:
    return lambda name: cleaned[name].removeprefix(prefix) if cleaned[name].startswith(prefix) else None


def _adding(cleaned: Mapping[str, str], prefix: str) -> Renaming:
    return lambda name: prefix + cleaned[name]


# What is missing or too much


def judged(path: object, model: nn.Module, found: Found, missing: Iterable[str], extra: Iterable[str]) -> list[str]:
    """Notes of what a state dict had and lacked once it was loaded. Raises: FileFormatError where that matters."""
    modules = dict(model.named_modules())
    bad = [name for name in missing if not _may_miss(modules, name)]
    bad_extra = [name for name in extra if not _may_be_extra(path, modules, name, found.state[name])]
    if bad or bad_extra:
        parts = [
            f"missing {_listed(bad)}" if bad else "",
            f"and what it does not have, {_listed(bad_extra)}" if bad_extra else "",
        ]
        hint = "give the checkpoint of this model, or the factory that made it"
        raise FileFormatError(f"{path}: cannot be loaded into this model: {' '.join(filter(None, parts))}; {hint}")
    told = {
        "left out what is no part of this model": found.others,
        "not in the file, as the factory makes them": missing,
        "left out states, since a sequence starts at rest": [name for name in extra if not name.endswith(_LEVELS)],
        "levels, which are those of the factory's state_quant": [name for name in extra if name.endswith(_LEVELS)],
    }
    notes = [f"{what}: {_listed(names)}" for what, some in told.items() if (names := _without_counters(some))]
    return [*found.notes, *notes, *_told_types(model, found.state)]


def _without_counters(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.rpartition(".")[2] not in _COUNTERS]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _owner(modules: Mapping[str, nn.Module], name: str, levels: int) -> tuple[nn.Module | None, str]:
    """The module that stands so many parts before the end of a name, and the rest."""
    parts = name.split(".")
    return modules.get(".".join(parts[:-levels])), ".".join(parts[-levels:])


def _may_miss(modules: Mapping[str, nn.Module], name: str) -> bool:
    """Whether a model is whole without it: what neurons of older versions do not save, and tables of stock closures."""
    owner, own = _owner(modules, name, 1)
    if own in _COUNTERS or (isinstance(owner, NEURONS) and own in _FIXED):
        return True
    return isinstance(owner, StateQuantizer) and own == "levels" and not owner.learned


def _may_be_extra(path: object, modules: Mapping[str, nn.Module], name: str, value: Any) -> bool:
    """Whether it changes nothing: states, counters, or the levels that a closure of snnTorch holds as well."""
    neurons, own = _owner(modules, name, 1)
    if own in _COUNTERS or (isinstance(neurons, NEURONS) and own in _STATES):
        return True
    neurons, own = _owner(modules, name, 2)
    if not isinstance(neurons, NEURONS) or own != _LEVELS:
        return False
    try:
        levels = closure_levels(neurons.state_quant)  # type: ignore[arg-type]
    except ConfigError:
        return False
    if not torch.equal(levels, value):
        hint = "make the factory use squat_deploy.snn.quantizers.state_quant, whose levels are loaded"
        raise FileFormatError(f"{path}: {name}: other levels than those of the factory's state_quant; {hint}")
    return True


def _told_types(model: nn.Module, state: State) -> list[str]:
    own = model.state_dict()
    other = sorted({str(value.dtype) for key, value in state.items() if key in own and _is_narrower(value, own[key])})
    return [f"{' and '.join(other)} values, read as float32"] if other else []


def _is_narrower(value: Any, own: Any) -> bool:
    both = isinstance(value, Tensor) and isinstance(own, Tensor)
    return both and value.is_floating_point() and own.dtype == torch.float32 != value.dtype
