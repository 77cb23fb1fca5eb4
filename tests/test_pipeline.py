"""When stages run: as tokens in buffers would let them, and a list that bypasses stages holds nobody up."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.pipeline import DOUBLE, Link, ends, linked
from squat_deploy.lab.models import dense_lif_net
from tests.graph_drawing import draw_graph


def simulated(links: Sequence[Link], costs: np.ndarray) -> np.ndarray:
    """(stages, T) ends by moving tokens: a stage takes a full buffer of each input and an empty one of each output."""
    stages, steps = costs.shape
    full, empty = dict.fromkeys(links, 0), {link: link.depth for link in links}
    done, running, now = np.zeros((stages, steps)), dict[int, float](), 0.0
    count = [0] * stages
    while min(count) < steps:
        for stage in range(stages):
            before = [link for link in links if link.taker == stage]
            after = [link for link in links if link.giver == stage]
            free = stage not in running and count[stage] < steps
            if free and all(full[link] for link in before) and all(empty[link] for link in after):
                running[stage] = now + costs[stage, count[stage]]
        now = min(running.values())
        for stage in [stage for stage, end in running.items() if end == now]:
            del running[stage]
            done[stage, count[stage]] = now
            count[stage] += 1
            for link in links:
                full[link] += int(link.giver == stage) - int(link.taker == stage)
                empty[link] += int(link.taker == stage)
        for stage, end in running.items():
            assert end > now, stage
        for link in links:  # buffers that are being written are not empty
            writing = sum(1 for stage in running if stage == link.giver)
            assert full[link] + writing <= link.depth
            empty[link] = link.depth - full[link]
    return done


def drawn(rng: np.random.Generator) -> tuple[Link, ...]:
    """Stages in a row, and some links that bypass them."""
    stages = int(rng.integers(2, 6))
    pairs = {(stage, stage + 1, stage) for stage in range(stages - 1)}
    for _ in range(int(rng.integers(0, 4))):
        giver, taker = sorted(rng.choice(stages, 2, replace=False).tolist())
        pairs.add((giver, taker, giver))
    return linked(pairs)


@pytest.mark.parametrize("seed", range(25))
def test_ends_are_those_of_tokens_in_buffers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    links = drawn(rng)
    links = tuple(Link(link.giver, link.taker, link.source, int(rng.integers(2, link.depth + 1))) for link in links)
    stages = 1 + max(link.taker for link in links)
    costs = rng.integers(1, 50, (stages, 12)).astype(float)
    found = np.stack([end[0] for end in ends(links, [cost[None] for cost in costs])])
    assert np.array_equal(found, simulated(links, costs))


@pytest.mark.parametrize("seed", range(10))
def test_buffers_of_bypasses_are_enough_and_not_one_too_many(seed: int) -> None:
    """With stages of one cost the core is as fast as the slowest; with a buffer less of a bypass it is not."""
    links = drawn(np.random.default_rng(seed))
    stages = 1 + max(link.taker for link in links)
    costs = [np.full((1, 40), 10.0)] * stages
    assert ends(links, costs)[-1][0, -1] == 10 * (40 + stages - 1)
    for less in (link for link in links if link.depth > DOUBLE):
        fewer = [
            Link(*(less.giver, less.taker, less.source, less.depth - 1)) if link == less else link for link in links
        ]
        assert ends(fewer, costs)[-1][0, -1] > 10 * (40 + stages + 5)


def test_projects_declare_the_buffers_that_are_counted() -> None:
    """Of every list that bypasses a process, in C++ as in its memories; other lists have the two of every array."""
    deep = 0
    for seed in range(30):
        network = draw_graph(seed)
        graph, config = design_of(network, sd.HlsConfig()).graph, sd.HlsConfig(pe=1, vectors=1)
        text = hls.render(network, config)["src/squat_top.cpp"]
        stated = dict(re.findall(r"SQUAT_HLS\(stream variable=(\w+) type=pipo depth=(\d+)\)", text))
        for number in range(len(graph.nodes) + 1):
            for taker in graph.handed_to(number):
                depth = graph.depth(number, taker)
                assert stated.pop(f"index{number}_to{taker}", str(DOUBLE)) == str(depth)
                stated.pop(f"value{number}_to{taker}", None)
                deep += depth > DOUBLE
        assert not stated
    assert deep > 5


@pytest.mark.parametrize("high", [1, 3])
def test_chains_take_planes(high: int, compiler: None) -> None:
    """Fully connected layers behind an input of channels, rows and columns, whose numbers are no powers of two."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), *dense_lif_net((30, 7, 4), input_bits=None))
    for parameter in model.parameters():
        parameter.data *= 4 if parameter.ndim == 2 else 1
    spec = sd.InputSpec((2, 3, 5), 0, high, encoding="sequence")
    network = sd.lower(model.eval(), spec, 5)
    inputs = np.random.default_rng(1).integers(0, high + 1, (5, 12, 2, 3, 5))
    assert sd.simulate(network, inputs).scores.any()
    assert sd.verify(network, model, inputs, executors=["numpy", "c++"]).agrees
