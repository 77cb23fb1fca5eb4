"""All measurements, as ratios against what a user would use instead, in one run.

Times are the least of several runs on one thread; peak memory is what a call allocates on top, from the high-water mark
of a fresh process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import snntorch as snn
import torch
from rich.console import Console
from rich.table import Table
from snntorch.functional.quant import state_quant as snntorch_state_quant
from torch import nn

import squat_deploy as sd
from squat_deploy.engines.graphs import onnxruntime_runner
from squat_deploy.lab.loop import train_step
from squat_deploy.lab.models import conv_lif_net, dense_lif_net
from squat_deploy.snn.quantizers import state_quant
from squat_deploy.snn.running import leaves, reset_neurons, run_model

STEPS = 10
BATCH = 16  # of what lowering is compared with


def least(call: Callable[[], object], seconds: float = 3.0) -> float:
    """Shortest of at least three runs, in seconds."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 50):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def peak_mb(which: str, bits: int) -> float:
    """Growth of the peak memory by one quantization of (128, 1000), in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.run", "--peak", which, str(bits)]
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)


def measure_peak(which: str, bits: int) -> None:
    """Body of that process."""
    values = torch.randn(128, 1000)
    quantizer = state_quant(bits) if which == "ours" else snntorch_state_quant(bits)
    quantizer(values[:1])
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark (Linux)
    before = _high_water_kb()
    quantizer(values)
    print((_high_water_kb() - before) / 1024)


def _high_water_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def quantizer_table() -> Table:
    """StateQuantizer against snnTorch's state_quant."""
    table = Table("bits", "snnTorch", "StateQuantizer", "times faster", "peak snnTorch", "peak ours")
    table.title = "state quantizer, (128, 1000) float32"
    values = torch.randn(128, 1000)
    for bits in (2, 4, 8):
        theirs, ours = snntorch_state_quant(bits), state_quant(bits)
        slow, fast = least(lambda f=theirs: f(values)), least(lambda f=ours: f(values))
        memory = [f"{peak_mb(which, bits):.0f} MB" for which in ("theirs", "ours")]
        table.add_row(str(bits), f"{slow * 1e3:.1f} ms", f"{fast * 1e3:.2f} ms", f"{slow / fast:.1f}", *memory)
    return table


def with_snntorch_quantizers(model: nn.Sequential, bits: int) -> nn.Sequential:
    """The same network as a user of snnTorch and Brevitas alone would have it."""
    for _, module in leaves(model):
        if isinstance(module, snn.Leaky):
            del module.state_quant
            module.state_quant = snntorch_state_quant(bits, uniform=False)
    return model


def stock_step(
    model: nn.Sequential, optimizer: torch.optim.Optimizer, images: torch.Tensor, classes: torch.Tensor
) -> None:
    """A training step that calls the model once a time step."""
    reset_neurons(model)
    counts = torch.stack([model(images) for _ in range(STEPS)]).sum(dim=0)
    optimizer.zero_grad()
    nn.functional.cross_entropy(counts, classes).backward()
    optimizer.step()


def training_table() -> Table:
    """Our training step against stock snnTorch + Brevitas, same network and batch."""
    table = Table("state bits", "stock", "ours", "ours, compiled", "times faster", "times faster, compiled")
    table.title = f"training step, 784-256-10, batch 128, {STEPS} steps"
    images, classes = torch.rand(128, 784), torch.randint(0, 10, (128,))
    for bits in (2, 4, 8):
        stock = with_snntorch_quantizers(dense_lif_net((784, 256, 10), state_bits=bits), bits)
        ours = dense_lif_net((784, 256, 10), state_bits=bits)
        slow_optimizer, fast_optimizer = (torch.optim.Adam(m.parameters(), lr=1e-6) for m in (stock, ours))
        slow = least(lambda m=stock, o=slow_optimizer: stock_step(m, o, images, classes))
        fast, compiled = (
            least(lambda m=ours, o=fast_optimizer, c=way: train_step(m, o, images, classes, STEPS, compiled=c))
            for way in (False, True)
        )
        times = [f"{seconds * 1e3:.1f} ms" for seconds in (slow, fast, compiled)]
        table.add_row(str(bits), *times, f"{slow / fast:.1f}", f"{slow / compiled:.1f}")
    return table


def executor_table() -> Table:
    """Simulator against the torch model (snnTorch's quantizer, and ours), and C++ against the simulator."""
    table = Table(
        "state bits",
        "torch, snnTorch's quantizer",
        "torch, StateQuantizer",
        "simulator",
        "C++",
        title="samples/s, 784-256-10",
    )
    table.add_column("simulator / torch")
    table.add_column("C++ / simulator")
    inputs = np.random.default_rng(0).integers(0, 16, (512, 784))
    real = torch.from_numpy(inputs.astype(np.float32) / 16)
    for bits in (2, 4, 8):
        torch.manual_seed(0)
        model = dense_lif_net((784, 256, 10), state_bits=bits).eval()
        network = sd.lower(model, sd.InputSpec((784,), 0, 15, 2.0**-4), STEPS)
        samples = len(inputs)
        with torch.no_grad():
            fast = samples / least(lambda m=model: run_model(m, real, STEPS))
            stock = with_snntorch_quantizers(model, bits)
            slow = samples / least(lambda m=stock: run_model(m, real, STEPS))
        numpy = samples / least(lambda n=network: sd.simulate(n, inputs))
        cpp = sd.verify(network, None, inputs, executors=("c++",)).rows[0].samples_per_second
        rates = [f"{rate:,.0f}" for rate in (slow, fast, numpy, cpp)]
        table.add_row(str(bits), *rates, f"{numpy / slow:.0f} ({numpy / fast:.0f})", f"{cpp / numpy:.2f}")
    return table


def graph_table() -> Table:
    """The sequence graph in ONNX Runtime against the simulator and the torch model, one thread each."""
    table = Table("batch", "state bits", "torch, snnTorch's quantizer", "torch, StateQuantizer", "simulator", "graph")
    table.title = "ms a batch of whole sequences, 784-256-10"
    table.add_column("torch / graph")
    table.add_column("simulator / graph")
    for batch in (1, 128):
        inputs = np.random.default_rng(0).integers(0, 16, (batch, 784))
        real = torch.from_numpy(inputs.astype(np.float32) / 16)
        for bits in (2, 4, 8):
            torch.manual_seed(0)
            model = dense_lif_net((784, 256, 10), state_bits=bits).eval()
            network = sd.lower(model, sd.InputSpec((784,), 0, 15, 2.0**-4), STEPS)
            graph = onnxruntime_runner(sd.emit_qonnx(network, form="sequence"))
            stimulus = {"input": inputs.astype(np.uint8)}
            ours = least(lambda g=graph, s=stimulus: g(s))
            numpy = least(lambda n=network, i=inputs: sd.simulate(n, i))
            with torch.no_grad():
                fast = least(lambda m=model, r=real: run_model(m, r, STEPS))
                stock = with_snntorch_quantizers(model, bits)
                slow = least(lambda m=stock, r=real: run_model(m, r, STEPS))
            times = [f"{seconds * 1e3:.2f}" for seconds in (slow, fast, numpy, ours)]
            ratios = f"{slow / ours:.1f} ({fast / ours:.1f})", f"{numpy / ours:.2f}"
            table.add_row(str(batch), str(bits), *times, *ratios)
    return table


def lowered_models() -> dict[str, tuple[nn.Sequential, sd.InputSpec]]:
    """What `lower` is timed on: one table a layer, a table a neuron (norms), and events of 128 x 128 pixels."""
    torch.manual_seed(0)
    pixels, events = sd.InputSpec((784,), 0, 15, 2.0**-4), sd.InputSpec((2, 128, 128), 0, 3, 1.0, "sequence")
    conv = conv_lif_net((2, 4, 8, 11), 8 * 29 * 29, state_bits=4)
    small = dense_lif_net((12, 40, 27), state_bits=8, norms=True)
    return {
        "12-40-27, 8 bits, norms": (small.eval(), sd.InputSpec((12,), 0, 15, 2.0**-4)),
        **{
            f"784-256-10, {bits} bits": (dense_lif_net((784, 256, 10), state_bits=bits).eval(), pixels)
            for bits in (2, 8)
        },
        "784-256-10, 8 bits, norms": (dense_lif_net((784, 256, 10), state_bits=8, norms=True).eval(), pixels),
        "2x128x128 events, convolutions, 4 bits": (conv.eval(), events),
    }


def with_spread(model: nn.Sequential) -> nn.Sequential:
    """Norms as after training: no two channels alike."""
    for _, module in leaves(model):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.3, 3)
    return model


def lower_table() -> Table:
    """`lower`, all of it, in training steps of the same model: what it costs to lower after an epoch."""
    table = Table(
        "model", "tables", "lower", f"torch, a batch of {BATCH}", f"training step of {BATCH}", "lower / torch"
    )
    table.title = f"lower, {STEPS} steps"
    table.add_column("lower / training step")
    table.add_column("peak memory of lower")
    for name, (model, spec) in lowered_models().items():
        with_spread(model)
        sequence = (STEPS,) if spec.encoding == "sequence" else ()
        inputs = torch.randint(spec.low, spec.high + 1, (*sequence, BATCH, *spec.shape)) * spec.step
        network = sd.lower(model, spec, STEPS, allow_unproven=True)
        tables = sum(len(neuron.thresholds) for neuron in network.neurons)
        whole = least(lambda m=model, s=spec: sd.lower(m, s, STEPS, allow_unproven=True))
        with torch.no_grad():
            forward = least(lambda m=model, i=inputs, s=sequence: run_model(m, i, STEPS, direct=not s))
        classes = torch.randint(0, network.outputs, (BATCH,))
        optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-6)
        how = {"direct": not sequence}
        step = least(lambda m=model, o=optimizer, i=inputs, c=classes, h=how: train_step(m, o, i, c, STEPS, **h))
        times = [f"{seconds * 1e3:,.0f} ms" for seconds in (whole, forward, step)]
        table.add_row(name, str(tables), *times, f"{whole / forward:.1f}", f"{whole / step:.1f}", f"{peak_of(name)} MB")
    return table


def peak_of(name: str) -> int:
    """Growth of the peak memory by `lower`, in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.run", "--peak-of-lower", name]
    return round(float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout))


def measure_peak_of_lower(name: str) -> None:
    """Body of that process."""
    model, spec = lowered_models()[name]
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water_kb()
    sd.lower(with_spread(model), spec, STEPS, allow_unproven=True)
    print((_high_water_kb() - before) / 1024)


TABLES = {
    "quantizer": quantizer_table,
    "training": training_table,
    "executors": executor_table,
    "graphs": graph_table,
    "lower": lower_table,
}


def main() -> None:
    """Prints all tables, or those that are named."""
    torch.set_num_threads(1)
    if "--peak-of-lower" in sys.argv:
        measure_peak_of_lower(sys.argv[-1])
        return
    if "--peak" in sys.argv:
        measure_peak(sys.argv[-2], int(sys.argv[-1]))
        return
    torch.manual_seed(0)
    console = Console(width=140)
    for name in sys.argv[1:] or TABLES:
        console.print(TABLES[name]())


if __name__ == "__main__":
    main()
