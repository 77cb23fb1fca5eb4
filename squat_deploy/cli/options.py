"""Options that several commands share, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.fields import Spelling, with_fields
from squat_deploy.cli.inputs import TIME_UNIT, InputOptions
from squat_deploy.network import Encoding
from squat_deploy.network.readout import Readout
from squat_deploy.reading import TimeUnit

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
NetworkFile = Annotated[Path, typer.Argument(help="A saved network (.safetensors), or its graph (.onnx).")]
_CONTAINERS = "(B, ...) or (T, B, ...): .npy, .npz, IDX, .h5, a folder of images, events"
InputsFile = Annotated[Path | None, typer.Option(help=f"Inputs, {_CONTAINERS}.")]
DataFile = Annotated[Path, typer.Option(help=f"Inputs in the model's units, {_CONTAINERS}.")]
Real = Annotated[bool, typer.Option("--real", help="Inputs are real values: round them to the network's own grid.")]
Window = Annotated[int | None, typer.Option(help="Of events: ticks that one time step takes.")]
TimeUnitOption = Annotated[TimeUnit | None, typer.Option("--time-unit", help=TIME_UNIT)]
Samples = Annotated[int, typer.Option(min=1, help="Random sequences if no inputs are given.")]
LabelsFile = Annotated[Path | None, typer.Option(help="Classes (B,) as .npy, .npz, IDX or .h5.")]
DataFolder = Annotated[Path | None, typer.Option(help="Folder of the Fashion-MNIST IDX files, or .npz file of events.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file of --out that is not of this model.")]
NetworkOut = Annotated[Path, typer.Option("--out", "-o", help="Where to save the network.")]
NirOut = Annotated[
    Path | None, typer.Option("--nir", help="Also write the quantized model as NIR, which verify takes alone.")
]
Steps = Annotated[int, typer.Option(help="Time steps of one sequence.")]
NeuronFile = Annotated[Path | None, typer.Option(help="YAML file with the neurons of a QONNX export.")]
Checkpoint = Annotated[Path | None, typer.Option(help="State dict: safetensors, or a torch file of weights only.")]
Encoded = Annotated[Encoding, typer.Option(help=InputOptions.model_fields["encoding"].description)]
BatchFirst = Annotated[bool, typer.Option("--batch-first", help=InputOptions.model_fields["batch_first"].description)]
ReadoutOption = Annotated[Readout, typer.Option(help="How the last neurons become a class.")]
Exact = Annotated[
    bool, typer.Option("--exact", help="Take the exact form of the model: integers are summed first, scaled once.")
]
Unproven = Annotated[bool, typer.Option("--allow-unproven", help="Carry layers that are not proven.")]

# --step alone reads like --steps, which is of time
with_input_options = with_fields(InputOptions, spellings={"step": Spelling(names=("--input-step", "--step"))})
