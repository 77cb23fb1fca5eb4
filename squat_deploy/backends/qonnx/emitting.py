"""Writing a Network as an ONNX model in one of three forms."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never, get_args

from onnx import ModelProto

from squat_deploy.backends.qonnx.builder import GraphBuilder, model_of
from squat_deploy.backends.qonnx.document import KEY, MAX_BATCH_VALUES, Document, Form
from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.backends.qonnx.scanning import sequence
from squat_deploy.backends.qonnx.stepping import finn_step, step
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.files import write_file
from squat_deploy.network import SCHEMA_VERSION, IntArray, Network
from squat_deploy.network.network import check_network
from squat_deploy.network.rules import broken_rule
from squat_deploy.onnx_file import MAX_BYTES

FORMS: tuple[Form, ...] = get_args(Form)


def emit_qonnx(
    network: Network,
    path: str | Path | None = None,
    *,
    form: Form = "step",
    batch: int | None = None,
    trace: bool = False,
) -> ModelProto:
    """The network as an ONNX model of integers; `squat_deploy.load` reads it back.

    Args:
        path: also write the model to this file, whole or not at all.
        form: "step", one time step with the states as inputs and outputs; "sequence", all steps in a Scan, from the
            initial states to scores (of the readout) and class; "finn", one step in QONNX's convention (integers in
            float32, MultiThreshold), for qonnx and FINN.
        batch: a fixed batch size; by default any (symbolic N). The form "finn" has batch 1.
        trace: also give the synaptic sums, states and spikes of every layer.

    Raises:
        ConfigError: an unknown form, a batch that is not positive, or another than 1 for "finn".
        ExportError: a network that the form cannot hold exactly, or a file that cannot be written.
    """
    check_network(network)
    if form not in FORMS:
        raise ConfigError(f"qonnx: form must be one of {', '.join(FORMS)}; got {form!r}")
    if (rule := broken_rule(network)) is not None:
        raise ExportError(f"qonnx: {rule}")
    document = _document(network, form, 1 if form == "finn" and batch is None else batch, trace)
    arrays: dict[str, IntArray] = {}
    for plan, layer in zip(document.layers, network.layers, strict=True):
        arrays |= plan.tensors(layer.saved())
    model = model_of(structure(document).graph_with(arrays), qonnx=form == "finn")
    model.metadata_props.add(key=KEY, value=document.to_json())
    if path is not None:
        write_model(model, Path(path))
    return model


def write_model(model: ModelProto, path: Path) -> None:
    """Writes a model, whole or not at all. Raises: ExportError."""
    size = model.ByteSize()
    if size > MAX_BYTES:
        raise ExportError(f"qonnx: {size} bytes; at most {MAX_BYTES} are read back; save the network itself instead")
    write_file(path, bytes(model.SerializeToString(deterministic=True)))


def structure(document: Document) -> GraphBuilder:
    """The graph that a document describes, its parameters named but empty."""
    match document.form:
        case "step":
            return step(document)
        case "sequence":
            return sequence(document)
        case "finn":
            return finn_step(document)
        case _:
            assert_never(document.form)


def _document(network: Network, form: Form, batch: int | None, trace: bool) -> Document:
    widest = max(layer.outputs for layer in network.layers)
    if form == "finn" and batch != 1:
        raise ConfigError(f"qonnx: the form finn has batch 1, since thresholds follow the state; got batch {batch}")
    if batch is not None and not 1 <= batch <= MAX_BATCH_VALUES // widest:
        raise ConfigError(f"qonnx: batch must be 1 to {MAX_BATCH_VALUES // widest}; got {batch}")
    return Document(
        schema=SCHEMA_VERSION,
        form=form,
        batch=batch,
        trace=trace,
        name=network.name,
        digest=network.digest,
        steps=network.steps,
        input=network.input,
        readout=network.readout,
        layers=plan_layers(network),
        certificate=network.certificate.layers,
        environment=network.certificate.environment,
        assumptions=network.certificate.assumptions,
        witnesses=network.certificate.witnesses,
        searched=network.certificate.searched,
        values=network.values,
        origin=network.origin,
    )
