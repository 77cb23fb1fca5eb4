"""Bounds of the plan of a core: no step has more beats than a stream says, and simulation checks each of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.bounds import bounds_of
from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.project import plan_for, render
from squat_deploy.backends.rtl.streams import Stream
from squat_deploy.backends.rtl.timing import cycles
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import Way
from squat_deploy.network.simulator import simulate
from tests.graph_drawing import draw_graph, draw_inputs


def streams_of(plan: RtlPlan) -> list[Stream]:
    return [bundle for instance in plan.instances for bundle in instance.gives if isinstance(bundle, Stream)]


def most_beats(way: Way) -> int:
    """Of any step that has gone over a way."""
    most = beats = 0
    for _, beat in way.offers:
        beats += 1
        most = max(most, beats)
        beats = 0 if beat.end else beats
    return most


@pytest.mark.parametrize("seed", [1, 52, 140, 157])
def test_no_step_has_more_beats_than_its_stream_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs as full as can be among them, and every neuron spikes; walks, pooled windows and joined lists."""
    kept = list[Net]()

    def keep(*given: Any, **named: Any) -> Net:
        kept.append(Net(*given, **named))
        return kept[-1]

    monkeypatch.setattr(cycles, "Net", keep)
    network = draw_graph(seed)
    inputs = draw_inputs(network, 6, seed)
    result = simulate(network, inputs, trace=True)
    assert result.trace is not None
    full = [replace(layer, spikes=np.ones_like(layer.spikes)) for layer in result.trace]
    result = replace(result, trace=tuple(full))
    plan = plan_for(network, RtlConfig(pe=2), inputs, result)
    cycles.ends_of(plan, inputs, result)
    met = {stream.name: (most_beats(kept[0].way(stream)), stream.most) for stream in streams_of(plan)}
    assert {name: both for name, both in met.items() if both[0] > both[1]} == {}
    walks = {name for name in met if name.startswith("visit") or name.endswith("_all")}
    assert any(met[name][0] == met[name][1] for name in walks)


def test_every_stream_is_checked(small: sd.Network) -> None:
    network = draw_graph(157)
    inputs = draw_inputs(network, 2)
    plan = plan_for(network, RtlConfig(pe=2), inputs, simulate(network, inputs, trace=True))
    checked = {name for name, _, _ in bounds_of(plan).streams}
    assert checked == {stream.name for stream in streams_of(plan)} and {"pool12_all", "visit3", "queue11"} <= checked
    printed = str(render(small, RtlConfig(vectors=1))["tb/bounds.sv"])
    assert re.findall(r'STREAM\("(word|rows2)"\)', printed) == ["word", "rows2"]
