"""Cores for a testbench of their own: plain C loops, written from what `constants.h` says of every layer.

They take weights and tables from the arrays of that file, and sizes from the network; the laws are written here anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import squat_deploy as sd
from squat_deploy.network import INPUT, Layer, Neuron, TwoStateNeuron
from squat_deploy.network.layers import Add, Concat, Conv2d, ConvTranspose2d, Delay, Dense, NeuronLayer, Pool2d

AS_STREAM = """
void dut_run(uint32_t steps, int restart) {{
    static int32_t x[DUT_INPUTS];
    static dut_trace trace;
    if (steps == 0) {{
        tb_give(0xffffffffu, 1);
        return;
    }}
    if (restart) rest();
    for (uint32_t t = 0; t < steps; ++t) {{
        uint32_t word = 0;
        for (int i = 0; ({once} == 0 || (restart && t == 0)) && i < DUT_INPUTS; ++i) {{
            if (i % {lanes} == 0) tb_take(&word, 0);
            const int32_t code = (int32_t)(word >> (i % {lanes} * {bits}) & {mask}u);
            x[i] = code > {high} ? code - {size} : code;
        }}
        step(x);
        show(&trace);
        tb_trace(&trace);
    }}
    for (int w = 0; w < DUT_OUTPUTS * {words}; ++w)
        tb_give((uint32_t)(score[w / {words}] >> (w % {words} * 32)), w + 1 == DUT_OUTPUTS * {words});
}}
"""


def as_stream(network: sd.Network) -> str:
    """The core of a stream, around `rest`, `step` and `show`."""
    spec = network.input
    names = {"lanes": 32 // spec.bits, "bits": spec.bits, "mask": 2**spec.bits - 1, "size": 2**spec.bits}
    once, words = int(spec.encoding == "direct"), 2 if network.worth else 1
    return AS_STREAM.format(**names, high=spec.high, once=once, words=words)


def core_of(network: sd.Network) -> str:
    """`rest`, `step` and `show` of any network."""
    sizes = {INPUT: network.input.size, **{at: layer.outputs for at, layer in enumerate(network.layers)}}
    values = [f"static int64_t y{at}[{size}];" for at, size in sizes.items() if at != INPUT]
    machines = [(at, layer) for at, layer in enumerate(network.layers) if isinstance(layer, NeuronLayer)]
    states = [f"static int64_t s{at}[{layer.neurons}];" for at, layer in machines]
    past = [
        f"static int64_t past{at}[256][{layer.outputs}];"
        for at, layer in enumerate(network.layers)
        if isinstance(layer, Delay)
    ]
    outputs = [f"static int64_t late{at}[{layer.neurons}];" for at, layer in machines]
    head = ['#include "dut.h"', '#include "constants.h"', "#include <string.h>", *values, *states, *past, *outputs]
    head.append(f"static int64_t score[{network.outputs}];\nstatic int now;")
    return "\n".join([*head, *_rest(network), *_step(network), *_show(network)]) + "\n"


def _rest(network: sd.Network) -> Iterator[str]:
    yield "static void rest(void) {\nmemset(score, 0, sizeof score);\nnow = 0;"
    for at, layer in enumerate(network.layers):
        if isinstance(layer, NeuronLayer):
            yield f"memset(late{at}, 0, sizeof late{at});"
            yield f"for (int n = 0; n < {layer.neurons}; ++n) s{at}[n] = {layer.initial_state};"
        if isinstance(layer, Delay):
            yield f"memset(past{at}, 0, sizeof past{at});"
    yield "}"


def _step(network: sd.Network) -> Iterator[str]:
    yield "static void step(const int32_t* x) {"
    for at, layer in enumerate(network.layers):
        wire = network.wires[at]
        sources = ["x" if source == INPUT else f"late{source}" if source >= at else f"y{source}" for source in wire]
        yield from _layer(at, layer, sources)
    last = len(network.layers) - 1
    yield f"for (int n = 0; n < {network.outputs}; ++n) {{ {_score(network, last)} }}"
    for at, layer in enumerate(network.layers):
        if isinstance(layer, NeuronLayer):
            yield f"memcpy(late{at}, y{at}, sizeof y{at});"
    yield "++now;\n}"


def _score(network: sd.Network, last: int) -> str:
    output = network.neurons[-1]
    whole = output.membrane_state_count if isinstance(output, TwoStateNeuron) else 2**30
    return (
        f"const int64_t m = s{last}[n] % {whole}; (void)m; "
        + {
            "count": f"score[n] += y{last}[n];",
            "first": f"score[n] += y{last}[n] || score[n] > 0;",
            "highest-membrane": "if (m > score[n]) score[n] = m;",
            "last-membrane": "score[n] = m;",
            "mean-membrane": "score[n] += WORTH[m];",
        }[network.readout]
    )


def _layer(at: int, layer: Layer, x: list[str]) -> Iterator[str]:
    """Plain loops; L is the prefix of its constants."""
    prefix = f"LAYER{at + 1}_"
    each = f"for (int n = 0; n < {layer.outputs}; ++n) "
    match layer:
        case Dense():
            yield each + f"{{ y{at}[n] = {prefix}BIAS[n]; for (int i = 0; i < {layer.inputs}; ++i) "
            yield f"y{at}[n] += {prefix}WEIGHT[n][i] * {x[0]}[i]; }}"
        case Conv2d() | ConvTranspose2d():
            yield from _convolution(at, layer, x[0])
        case Pool2d():
            yield from _pooling(at, layer, x[0])
        case Add():
            terms = " + ".join(f"{factor} * {name}[n]" for factor, name in zip(layer.factors, x, strict=True))
            yield each + f"y{at}[n] = {terms};"
        case Concat():
            starts = [sum(layer.sizes[:place]) for place in range(len(x))]
            for size, name, start in zip(layer.sizes, x, starts, strict=True):
                yield f"for (int n = 0; n < {size}; ++n) y{at}[{start} + n] = {name}[n];"
        case Delay():
            yield each + f"past{at}[now % 256][n] = {x[0]}[n];"
            yield each + f"y{at}[n] = {prefix}DELAY[n] > now ? 0 : past{at}[(now - {prefix}DELAY[n]) % 256][n];"
        case Neuron():
            yield each + f"{{ const int k = {prefix}TABLE[n]; const int64_t s = s{at}[n]; int level = 0;"
            yield from _counted("level", f"{prefix}THRESHOLDS[k][s]", layer.level_count - 1, f"{x[0]}[n]")
            after = "level" if layer.carries_level else f"{prefix}SUCCESSOR[k][s][level]"
            yield f"y{at}[n] = level >= {prefix}FIRE_LEVEL[k]; s{at}[n] = {after}; }}"
        case TwoStateNeuron():
            yield from _two_states(at, layer, x[0], prefix)


def _counted(name: str, table: str, size: int, key: str) -> Iterator[str]:
    yield f"for (int j = 0; j < {size}; ++j) {name} += {table}[j] <= {key};"


def _convolution(at: int, layer: Conv2d | ConvTranspose2d, x: str) -> Iterator[str]:
    (channels, height, width), (outputs, rows, columns) = layer.input_shape, layer.output_shape
    own, share = layer.weight.shape[1], outputs // layer.groups
    (below, beside), (top, left), (down, right) = layer.stride, layer.padding, layer.dilation
    transposed = isinstance(layer, ConvTranspose2d)
    high, wide = (height, width) if transposed else (rows, columns)
    yield f"for (int n = 0; n < {layer.outputs}; ++n) y{at}[n] = LAYER{at + 1}_BIAS[n / {rows * columns}];"
    yield f"for (int o = 0; o < {outputs}; ++o) for (int i = 0; i < {own}; ++i)"
    yield f"for (int r = 0; r < {high}; ++r) for (int q = 0; q < {wide}; ++q)"
    yield f"for (int v = 0; v < {layer.kernel[0]}; ++v) for (int u = 0; u < {layer.kernel[1]}; ++u) {{"
    yield f"const int c = o / {share} * {own} + i;"
    yield f"const int a = r * {below} - {top} + v * {down}, b = q * {beside} - {left} + u * {right};"
    here, there = (f"y{at}[(o * {rows} + {{}}) * {columns} + {{}}]", f"{x}[(c * {height} + {{}}) * {width} + {{}}]")
    inside = (rows, columns) if transposed else (height, width)
    yield f"if (a >= 0 && a < {inside[0]} && b >= 0 && b < {inside[1]})"
    gets, gives = (
        (here.format("a", "b"), there.format("r", "q"))
        if transposed
        else (here.format("r", "q"), there.format("a", "b"))
    )
    yield f"{gets} += LAYER{at + 1}_WEIGHT[o][i][v][u] * {gives}; }}"
    assert channels == own * layer.groups


def _pooling(at: int, layer: Pool2d, x: str) -> Iterator[str]:
    (_, height, width), (planes, rows, columns) = layer.input_shape, layer.output_shape
    (below, beside), (top, left) = layer.stride, layer.padding
    yield f"for (int c = 0; c < {planes}; ++c) for (int r = 0; r < {rows}; ++r) for (int q = 0; q < {columns}; ++q) {{"
    yield "int64_t sum = 0, most = -((int64_t)1 << 60);"
    yield f"for (int v = 0; v < {layer.kernel[0]}; ++v) for (int u = 0; u < {layer.kernel[1]}; ++u) {{"
    yield f"const int a = r * {below} - {top} + v, b = q * {beside} - {left} + u;"
    yield f"if (a < 0 || a >= {height} || b < 0 || b >= {width}) continue;"
    yield f"const int64_t value = {x}[(c * {height} + a) * {width} + b];"
    yield "sum += value; if (value > most) most = value; }"
    kept = "sum" if layer.kind == "sum" else "most"
    yield f"y{at}[(c * {rows} + r) * {columns} + q] = {kept}; (void)sum; (void)most; }}"


def _two_states(at: int, layer: TwoStateNeuron, x: str, prefix: str) -> Iterator[str]:
    count = layer.membrane_state_count
    yield f"for (int n = 0; n < {layer.neurons}; ++n) {{ const int k = {prefix}TABLE[n];"
    yield f"const int64_t a = s{at}[n] / {count}, b = s{at}[n] % {count};"
    yield f"const int64_t seen = {prefix}CURRENT_OFFSET[k][a] + {x}[n] * {2**layer.fraction_bits};"
    yield f"const int64_t key = {prefix}MEMBRANE_OFFSET[k][b] + {prefix}FOLLOWS[k][b] * seen;"
    yield f"const int64_t own = {prefix}NEXT_OFFSET[k][a] + {x}[n] * {2**layer.next_fraction_bits};"
    yield "int level = 0; int64_t after = 0;"
    yield from _counted("level", f"{prefix}BOUNDARIES[k]", layer.level_count - 1, "key")
    yield from _counted("after", f"{prefix}NEXT_BOUNDARIES[k]", layer.current_level_count - 1, "own")
    membrane = "level" if layer.carries_level else f"{prefix}SUCCESSOR[k][b][level]"
    yield f"y{at}[n] = level >= {prefix}FIRE_LEVEL[k]; s{at}[n] = after * {count} + {membrane}; }}"


def _show(network: sd.Network) -> Iterator[str]:
    yield "static void show(dut_trace* trace) {"
    for at, layer in enumerate(network.layers):
        if isinstance(layer, NeuronLayer):
            yield f"for (int n = 0; n < {layer.neurons}; ++n) trace->layer{at + 1}_spike[n] = (int32_t)y{at}[n];"
            yield f"for (int n = 0; n < {layer.neurons}; ++n) trace->layer{at + 1}_state[n] = (int32_t)s{at}[n];"
    yield "}"
