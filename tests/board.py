"""Drivers of exported projects, loaded as a board would load them, with the project's C++ as the core."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import squat_deploy as sd
from squat_deploy.network import TwoStateNeuron
from squat_deploy.network.encoders import EventEncoder, LatencyEncoder, RateEncoder, frames_of, takes_intensities
from squat_deploy.network.readout import Readout, scores_of
from tests.graph_drawing import draw_graph
from tests.test_hardware import sequence_network


def with_readout(network: sd.Network, readout: Readout) -> sd.Network:
    return dataclasses.replace(network, readout=readout)


def nets() -> dict[str, tuple[sd.Network, Any]]:
    """A network and an encoder for every way in and every way out."""
    spiking, events = sequence_network((0, 1)), draw_graph(0)
    return {
        "signed, direct": (draw_graph(8), None),
        "wide, a frame a step": (sequence_network((-300, 700)), None),
        "spikes": (spiking, None),
        "first": (with_readout(spiking, "first"), None),
        "highest": (with_readout(spiking, "highest-membrane"), None),
        "last": (with_readout(spiking, "last-membrane"), None),
        "mean": (with_readout(spiking, "mean-membrane"), None),
        "two states": (with_readout(draw_graph(3), "last-membrane"), None),
        "rate": (spiking, RateEncoder(bits=5, seed=77)),
        "latency": (spiking, LatencyEncoder(bits=3)),
        "events": (spiking, EventEncoder(window=9)),
        "convolution, events": (events, EventEncoder(window=400)),
    }


def emitted(network: sd.Network, encoder: Any, folder: Path, vectors: int = 5) -> Path:
    """A project of a board."""
    return sd.emit_hls(network, folder / "project", sd.HlsConfig(board="pynq-z2", encoder=encoder, vectors=vectors))


def driver(project: Path) -> Any:
    """The module `squat_device` of a project."""
    path = project / "board" / "pynq" / "squat_device.py"
    spec = importlib.util.spec_from_file_location(f"squat_device_{len(sys.modules)}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def simulated(module: Any, **options: Any) -> Iterator[Any]:
    """The stand-in for a device."""
    device = module.SquatDevice(simulated="hardware" not in options, **options)
    try:
        yield device
    finally:
        device.close()


def drawn(network: sd.Network, encoder: Any, samples: int, seed: int = 0) -> np.ndarray:
    """Inputs of the core: intensities, or what the network takes."""
    spec, rng = network.input, np.random.default_rng(seed)
    if takes_intensities(encoder):
        return rng.integers(0, 2**encoder.bits, (samples, *spec.shape))
    lead = (samples,) if spec.encoding == "direct" else (network.steps, samples)
    return rng.integers(spec.low, spec.high + 1, (*lead, *spec.shape))


def given(module: Any, inputs: np.ndarray) -> Any:
    """The same as `run` takes it."""
    if module.FEED == "events":
        return [module.events_of(inputs[:, sample]) for sample in range(inputs.shape[1])]
    return inputs


def scores_after(network: sd.Network, encoder: Any, inputs: np.ndarray, steps: int) -> np.ndarray:
    """(B, outputs) after so many steps of the simulator."""
    trace = sd.simulate(network, frames_of(encoder, inputs, network.steps), trace=True).trace
    assert trace is not None
    last, output = trace[-1], network.output
    membranes = last.states % output.membrane_state_count if isinstance(output, TwoStateNeuron) else last.states
    return scores_of(network.readout, last.spikes[:steps], membranes[:steps], network.worth)
