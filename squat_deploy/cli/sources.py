"""Where models come from: path/to/file.py:factory, or an export of Brevitas with its neurons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from squat_deploy.errors import ConfigError, FileFormatError, printable
from squat_deploy.network import InputSpec

if TYPE_CHECKING:
    from torch import nn

    from squat_deploy.readers.nir.site import NirOptions


def is_export(model: str | None) -> TypeGuard[str]:
    """Whether it is an ONNX file, not a file in Python."""
    return model is not None and model.endswith(".onnx")


def is_nir(model: str | None) -> TypeGuard[str]:
    """Whether it is a NIR file."""
    return model is not None and model.endswith(".nir")


def is_trained(model: str | None) -> TypeGuard[str]:
    """Whether it is a file that `train` wrote, which says how its model is made."""
    return model is not None and model.endswith(".safetensors")


def loaded(model: str, checkpoint: Path | None, *, trained: bool = False) -> tuple[nn.Module, Any]:
    """The torch model that a reference names (a factory in a file, NIR, a file of `train`), and its initial state.

    Raises: ConfigError, FileFormatError, LoweringError.
    """
    if is_trained(model):
        if checkpoint is not None:
            raise ConfigError(f"{model}: has its weights in it; leave out --checkpoint")
        return made_by_training(model)[0], None
    from squat_deploy.lowering.loading import load_with_state, with_checkpoint

    if not is_nir(model):
        return load_with_state(model, checkpoint, trained=trained)
    from squat_deploy.readers.nir.model import NirOptions, read_nir

    if checkpoint is None:
        return read_nir(model).model, None
    return with_checkpoint(read_nir(model, _nir_options(checkpoint, NirOptions)).model, checkpoint), None


def written_of(model: str) -> str:
    """The digest of the network that a NIR file was written of, as it says itself; empty where it says none."""
    from squat_deploy.readers.nir.file import read_graph

    whole = read_graph(Path(model)).stated
    return "" if whole is None else whole.digest


def _nir_options(checkpoint: Path, kind: type[NirOptions]) -> NirOptions:
    """How a NIR file was read when `nir` wrote this checkpoint. Raises: FileFormatError."""
    from pydantic import TypeAdapter, ValidationError

    from squat_deploy.snn.checkpoint import model_metadata

    try:
        return TypeAdapter(kind).validate_python(model_metadata(checkpoint).get("nir", {}))
    except ValidationError as error:
        raise FileFormatError(f"{checkpoint}: nir: {error.errors()[0]['msg']}") from error


def name_of(model: str) -> str:
    """The factory, or the file of a model without its ending."""
    return Path(model).stem if is_export(model) or is_nir(model) or is_trained(model) else model.rsplit(":", 1)[-1]


def source_of(model: str) -> str:
    """The file and the factory as a network records them, without folders."""
    name = Path(model).name
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:255]


def stem_of(network: Path) -> str:
    """Name of a network's file, the form of a graph left out."""
    return network.stem.removesuffix(".step").removesuffix(".sequence").removesuffix(".finn")


def weights_line(model: str, checkpoint: Path | None) -> str:
    """Where the weights came from."""
    if is_export(model) or is_trained(model) or checkpoint is not None:
        return f"weights: those of {checkpoint or model}"
    return f"weights: those that {name_of(model)}() made (no --checkpoint)"


def made_by_training(model: str) -> tuple[nn.Sequential, InputSpec, int]:
    """Model, inputs and time steps of a file that `train` wrote. Raises: FileFormatError."""
    from squat_deploy.lab.loop import trained_model
    from squat_deploy.snn.checkpoint import model_metadata

    if "quantized" in (said := model_metadata(Path(model))):
        way = f"--model {printable(str(said.get('source'))[:255])} --checkpoint {model}"
        way += ", or as --model the NIR file that quantize --nir or export-nir writes of it"
        raise ConfigError(f"{model}: holds weights that quantize saved, and no layers; give {way}")
    made, config = trained_model(Path(model))
    return made, config.input, config.steps


def imported(weights: str, neurons: Path | None) -> tuple[nn.Sequential, InputSpec, int]:
    """Model, inputs and time steps of a QONNX export of Brevitas and its neuron file. Raises: ConfigError."""
    from squat_deploy.readers.brevitas.model import imported_model

    if neurons is None:
        raise ConfigError(f"{weights}: an .onnx file has weights only; give the neurons as a YAML file with --neurons")
    return imported_model(Path(weights), neurons)
