"""`check`: what would become of every layer of a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from squat_deploy.cli import sources
from squat_deploy.cli.console import answer
from squat_deploy.cli.documents import console, following, gathered, grid, warn, words_of
from squat_deploy.cli.inputs import InputOptions
from squat_deploy.cli.options import Checkpoint, Exact, Json, ReadoutOption, Steps, Unproven, with_input_options
from squat_deploy.cli.tables import checked_table


@with_input_options
def check(
    model: Annotated[str, typer.Argument(help="The torch model as path/to/file.py:factory.")],
    *,
    steps: Steps,
    checkpoint: Checkpoint = None,
    fields: dict[str, Any],
    readout: ReadoutOption = "count",
    exact: Exact = False,
    allow_unproven: Unproven = False,
    as_json: Json = False,
) -> None:
    """Say what becomes of every layer of a model, trained or not; exit 0 only if `lower` would take it."""
    from squat_deploy.lowering import check as check_model
    from squat_deploy.lowering import exact as exact_form

    with gathered() as texts:
        loaded, state = sources.loaded(model, checkpoint)
        spec, _ = InputOptions(**fields).spec(loaded, steps, state)
        loaded = exact_form(loaded, spec, steps, initial_state=state) if exact else loaded
        rows = check_model(loaded, spec, steps, readout=readout, initial_state=state)
    bad = ("refused",) if allow_unproven else ("refused", "not proven")
    refused = any(row.verdict in bad for row in rows)
    if as_json:
        answer({"ok": not refused, "layers": [vars(row) for row in rows], "warnings": texts, **grid(spec)})
    else:
        warn(texts)
        given = {("input_step" if name == "step" else name): value for name, value in fields.items()}
        given |= {"readout": None if readout == "count" else readout, "exact": exact, "allow_unproven": allow_unproven}
        words = words_of(steps=steps, checkpoint=checkpoint, **given)
        after = () if refused else (following("squat-deploy", "lower", model, *words),)
        console.print(checked_table(rows), f"inputs: {spec.described}", *after)
    if refused:
        raise typer.Exit(1)
