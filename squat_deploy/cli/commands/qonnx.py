"""`qonnx`: an ONNX graph of integers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.guarding import check_paths
from squat_deploy.cli.options import Json, NetworkFile
from squat_deploy.cli.sources import stem_of
from squat_deploy.cli.tables import cost_line, ports_table
from squat_deploy.files import check_target
from squat_deploy.loading import load
from squat_deploy.network.tabled import inputs_line


def qonnx(
    network: NetworkFile,
    form: Annotated[
        Literal["step", "sequence", "finn"],
        typer.Option(help="One step; all steps in a Scan; or one step in QONNX's float32 convention."),
    ] = "step",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="ONNX file; NAME.FORM.onnx by default.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="A fixed batch size; any by default.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Also output sums, states and spikes of every layer.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw the graph: .svg, .pdf or .png (Graphviz).")] = None,
    as_json: Json = False,
) -> None:
    """Write a network as an ONNX graph of integers, which every command reads in its place."""
    from squat_deploy.backends.qonnx import description, emit_qonnx, write_model

    target = out or Path(f"{stem_of(network)}.{form}.onnx")
    check_paths({"network": network, "out": target, "picture": picture})
    check_target(target)  # before the picture is there
    loaded = load(network)
    model = emit_qonnx(loaded, form=form, batch=batch, trace=trace)
    ports = description.ports(model)
    document: dict[str, Any] = {"onnx": str(target), "form": form, "digest": loaded.digest, **grid(loaded.input)}
    document["ports"] = [vars(port) for port in ports]
    lines = [inputs_line(loaded)]
    if form != "sequence":
        document["first_step"] = first = description.first_step(loaded, model)
        lines.append(f"in the first step: {', '.join(f'{name} = {start}' for name, start in first.items())}")
    if form == "finn":
        from squat_deploy.backends.qonnx.cost import step_cost

        spent = step_cost(loaded)
        document["cost"] = vars(spent)
        lines.append(cost_line(spent))
    if picture is not None:
        from squat_deploy.backends.qonnx.picture import draw

        draw(model, picture)
        lines.append(f"drew {picture}")
    write_model(model, target)
    table = ports_table(ports, f"{loaded.name}: {form}, {len(model.graph.node)} nodes")
    emit(document, as_json, table, *lines, f"wrote {target}", following("squat-deploy", "verify", target))
