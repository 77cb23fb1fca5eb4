"""`train`: the reference networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.fields import Spelling, with_fields
from squat_deploy.cli.options import DataFolder, Json
from squat_deploy.lab.config import TrainConfig

_FIRST, _HIDDEN, _LAST = TrainConfig.model_fields["sizes"].default
_FIELDS = ("epochs", "state_bits", "weight_bits", "kind", "sizes", "float_epochs", "batch", "learning_rate", "seed")
_SPELLINGS = {
    "kind": Spelling(names=("--levels",)),
    "sizes": Spelling(
        names=("--hidden",),
        kind=int,
        default=_HIDDEN,
        text="Hidden neurons of the dense network.",
        read=lambda hidden: (_FIRST, hidden, _LAST),
    ),
}


@with_fields(TrainConfig, only=_FIELDS, spellings=_SPELLINGS)
def train(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints and the model.")] = Path(
        "runs/fashion_mnist"
    ),
    config: Annotated[Path | None, typer.Option(help="YAML file of a training; other options go before it.")] = None,
    fields: dict[str, Any],
    device: Annotated[
        str | None, typer.Option(help="As torch names it, e.g. cpu; a GPU, where there is one, by default.")
    ] = None,
    data: DataFolder = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing data into --data.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network with quantized weights and states: by default the bundled one on Fashion-MNIST."""
    from squat_deploy.configs import read_yaml
    from squat_deploy.lab.data import read_data
    from squat_deploy.lab.loop import MODEL
    from squat_deploy.lab.loop import train as run_training

    chosen = TrainConfig() if config is None else read_yaml(config, TrainConfig)
    chosen = TrainConfig.model_validate({**chosen.model_dump(), **fields})
    training, test = read_data(chosen, data, download=download)
    _, history = run_training(chosen, training, test, out, resume=resume, quiet=as_json, device=device)
    document = {"model": str(out / MODEL), "config": chosen.model_dump(mode="json"), "history": history}
    line = f"test accuracy {history[-1]['accuracy']:.2%}; the model is in {out / MODEL}"
    emit(document, as_json, line, following("squat-deploy", "lower", out / MODEL))
