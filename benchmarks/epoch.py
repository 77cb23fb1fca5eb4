"""An epoch of Fashion-MNIST, QAT + SQUAT on 784-256-10 with 10 steps, against stock snnTorch + Brevitas, in one run."""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.run import STEPS, stock_step, with_snntorch_quantizers
from squat_deploy.lab.datasets import Samples, fashion_mnist
from squat_deploy.lab.loop import TrainConfig, train


def stock_epoch(model: nn.Sequential, samples: Samples, batch: int) -> float:
    """Seconds of one pass over the data as snnTorch's tutorials write it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, labels = torch.from_numpy(samples.inputs), torch.from_numpy(samples.labels)
    began = time.perf_counter()
    for chosen in torch.randperm(len(labels)).split(batch):
        stock_step(model, optimizer, inputs[chosen], labels[chosen])
    return time.perf_counter() - began


def our_epoch(config: TrainConfig, samples: Samples, test: Samples) -> tuple[float, float]:
    """Seconds of an epoch, its evaluation and checkpoint included, and of compiling, which a run does once."""
    times = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            train(config, samples, test, Path(folder), quiet=True, compiled=True)
            times.append(time.perf_counter() - began)
    first, again = times
    return again, first - again


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    training, test = fashion_mnist("train").samples(), fashion_mnist("test").samples()
    little = Samples(test.inputs[:1000], test.labels[:1000])
    table = Table("bits", "stock", "ours", "times faster", "compiling, once")
    table.title = f"an epoch of 60,000 images, 784-256-10, {STEPS} steps, batch 128, {threads} threads"
    for bits in (2, 4):
        for scale in ("power-of-two", "learned"):
            config = TrainConfig(weight_bits=bits, state_bits=bits, weight_scale=scale, epochs=1, flip=False)  # type: ignore[arg-type]
            stock = with_snntorch_quantizers(copy.deepcopy(config.model()), bits)
            slow = stock_epoch(stock, training, config.batch)
            fast, compiling = our_epoch(config, training, little)
            ratio = f"{slow / fast:.1f}"
            table.add_row(f"{bits}, {scale}", f"{slow:.1f} s", f"{fast:.1f} s", ratio, f"{compiling:.0f} s")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
