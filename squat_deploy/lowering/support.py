"""The support matrix of the documentation, from the tables that decide: handlers, neuron kinds, functions, hints."""

from __future__ import annotations

from collections.abc import Iterable

from squat_deploy.lowering.branches import FUNCTIONS
from squat_deploy.lowering.handlers import HANDLERS
from squat_deploy.lowering.hints import HINTS
from squat_deploy.training.neurons import KINDS


def support_matrix() -> str:
    """Markdown: what is lowered, and what is refused with the nearest thing that works."""
    modules = (f"| `{kind.__name__}` | {_package(kind)} |" for kind in HANDLERS if kind not in KINDS)
    neurons = (
        f"| `{kind.__name__}` | {', '.join(about.states)} | {', '.join(about.parameters)} | "
        f"{'yes' if about.recurrent else ''} |"
        for kind, about in KINDS.items()
    )
    refused = (f"| `{name}` | {hint} |" for name, hint in HINTS.items())
    return "\n".join(
        [
            "# Support matrix",
            "",
            "Made from the code by `make support`; a test compares it. `squat-deploy check` does so with your model.",
            "",
            "## Layers",
            "",
            *_table(("module", "package"), modules),
            "",
            "## Neurons",
            "",
            "Each with reset subtract, zero or none. Parameters are one value or any shape that torch spreads.",
            "",
            *_table(("neuron", "quantized states", "parameters", "own recurrent synapses"), neurons),
            "",
            "## Functions and methods of tensors in a forward",
            "",
            ", ".join(f"`{name}`" for name in sorted(FUNCTIONS)) + ", `x[step]`, `unbind`.",
            "",
            "## Refused",
            "",
            *_table(("module", "what to do instead"), refused),
            "",
        ]
    )


def _package(kind: type) -> str:
    return kind.__module__.split(".")[0]


def _table(head: tuple[str, ...], rows: Iterable[str]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]
