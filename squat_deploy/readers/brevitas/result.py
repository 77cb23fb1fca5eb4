"""What is read of a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.window import Window


@dataclass(frozen=True, eq=False)
class ImportedSynapses:
    """One layer: input times `weight * scale`, plus `bias`; every product `weight * scale` is a float32 of the graph.

    Attributes:
        name: plain text and unique: the module's name where the file tells it, else the node's.
        weight: int64 (out, in), or (out, in/groups, kernel height, kernel width) for a convolution.
        scale: float32 (out,), positive; one a neuron, also where the file has one for all.
        bias: float32 (out,), the values that the graph adds (dequantized where they pass a Quant), or None.
        conv: how the kernel of a convolution moves over its zero-padded input; None for a linear layer.
    """

    name: str
    weight: NDArray[np.int64]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    conv: Window | None
    groups: int = 1


@dataclass(frozen=True)
class InputQuant:
    """The input x becomes the integer `clip(round(x / scale), low, high)`, ties to even; it is worth `scale`."""

    scale: float
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class ImportedGraph:
    """A feed-forward net as its file describes it.

    Attributes:
        layers: in the order of the data.
        input_shape: sizes of one sample, without the batch.
        input_quant: the quantizer at the net's input, if there is one.
        activations: (index of the layer that it follows, name of the node, type of the node) of every activation and
            activation quantizer, in whose place the user's neurons come; their parameters are not read.
    """

    layers: tuple[ImportedSynapses, ...]
    input_shape: tuple[int, ...]
    input_quant: InputQuant | None
    activations: tuple[tuple[int, str, str], ...]
