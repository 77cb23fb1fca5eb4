"""Where nodes of a NIR graph meet and part: what is the same on all sides, and the model that adds it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from squat_deploy.readers.nir.graph import Stage, is_chain
from squat_deploy.readers.nir.scales import BESIDE
from squat_deploy.readers.nir.site import Array, Site
from squat_deploy.snn.branched import ENTRY, Branched

Given = tuple[tuple[int, ...], Array | None, bool]  # shape, factors of a Scale, whether synapses took in what they can


def line_behind(stages: Sequence[Stage], stage: Stage) -> tuple[Stage, ...]:
    """The stages behind one, as long as each feeds one other and that takes it alone."""
    found, name = list[Stage](), stage.name
    while True:
        after = [other for other in stages if name in other.takes]
        if len(after) != 1 or after[0].takes != (name,):
            return tuple(found)
        found.append(after[0])
        name = after[0].name


def check_joined(site: Site, given: Sequence[Given]) -> None:
    """Raises: LoweringError where what meets at a node cannot be added as it is."""
    if len({shape for shape, _, _ in given}) > 1:
        got = " and ".join(str(shape) for shape, _, _ in given)
        site.refuse("what meets at a node has one shape", got, "export it again")
    if len(given) > 1 and any(gain is not None for _, gain, _ in given):
        site.refuse("what meets at a node has passed no Scale", "a Scale in front of a sum", BESIDE)


def joined_modules(stages: Sequence[Stage], modules: Mapping[str, nn.Module], called: Mapping[str, str]) -> nn.Module:
    """A chain as an `nn.Sequential`, else a module that adds up what meets."""
    if is_chain(stages):
        model = nn.Sequential()
        for name, module in modules.items():
            model.add_module(name, module)
        return model
    names = {stages[0].name: ENTRY}
    plan = []
    for place, stage in enumerate(stages[1:]):
        names[stage.name] = called.get(stage.name, f".{place}")  # a dot: no module has such a name
        plan.append((names[stage.name], tuple(names[source] for source in stage.takes)))
    return Branched(modules, plan)
