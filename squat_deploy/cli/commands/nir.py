"""`nir`: a NIR file becomes a quantized model and a network, in one go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from squat_deploy.cli import sources, targets
from squat_deploy.cli.documents import emit, following, gathered, summary
from squat_deploy.cli.fields import Spelling, with_fields
from squat_deploy.cli.guarding import check_paths
from squat_deploy.cli.inputs import seen_in
from squat_deploy.cli.nir import NirInputs, NirStated, ask, behind_grid, inputs_of, refuse_options
from squat_deploy.cli.options import Exact, Json, NetworkOut, Overwrite, Unproven
from squat_deploy.cli.tables import certificate_table, network_table
from squat_deploy.network import InputSpec, Network
from squat_deploy.network.storage import save

if TYPE_CHECKING:
    from torch import nn

    from squat_deploy.readers.nir.stated import Whole


@with_fields(NirStated, spellings={"reset_at_once": Spelling(names=("--reset-at-once",))})
def nir(
    file: Annotated[Path, typer.Argument(help="A .nir file.")],
    *,
    fields: dict[str, Any],
    exact: Exact = False,
    out: NetworkOut = Path("network.safetensors"),
    allow_unproven: Unproven = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Read a NIR file, quantize and lower it; what the file leaves open is asked for, all of it at once."""
    from squat_deploy.lowering import exact as exact_form
    from squat_deploy.readers.nir.asking import opened
    from squat_deploy.readers.nir.model import read_nir
    from squat_deploy.snn.checkpoint import save_model
    from squat_deploy.snn.ptq import Recipe

    stated = NirStated(**fields)
    source, beside = sources.source_of(str(file)), out.parent / f"{out.stem}.model.safetensors"
    check_paths({"file": file, "calibration": stated.calibration, "out": beside})
    targets.check_both(out, beside, source, overwrite=overwrite, ask=not as_json)
    options = stated.nir_options()
    typed, found = {**fields, **({"exact": True} if exact else {})}, opened(file, options)
    if found.whole is not None:
        refuse_options(file, typed)
        _read_again(file, found.whole, out, allow_unproven=allow_unproven, as_json=as_json)
        return
    ask(file, found, stated, typed)
    with gathered() as texts:
        read, given = read_nir(file, options), inputs_of(found, stated)
        made, spec = _quantized(read.model, given, stated)
        form = exact_form(made, spec, stated.steps or 0) if exact else made
        lowered = _lowered(form, spec, stated, sources.name_of(str(file)), allow_unproven=allow_unproven)
    seen = {} if stated.calibration is None else seen_in(given.data.numpy(), spec)
    network = replace(lowered, origin=replace(lowered.origin, source=source, **seen))
    save_model(
        made, beside, {"source": source, "quantized": asdict(Recipe.of(read.model, made)), "nir": asdict(options)}
    )
    save(network, out)
    told = (*(f"open in the file: {gap}" for gap in read.gaps), *given.notes)
    document = {"network": str(out), "model": str(beside), "gaps": read.gaps, "notes": given.notes, "warnings": texts}
    saved = f"saved {out}, and the quantized torch model as {beside}"
    compare = following(
        "squat-deploy", "verify", out, "--model", file, "--checkpoint", beside, *(["--exact"] if exact else [])
    )
    emit({**document, **summary(network)}, as_json, *_tables(network, told), saved, compare)


def _read_again(file: Path, whole: Whole, out: Path, *, allow_unproven: bool, as_json: bool) -> None:
    """The network that a file was written from; another, and a warning, where it was changed since."""
    from squat_deploy.lowering import lower
    from squat_deploy.readers.nir.model import read_nir

    options: dict[str, Any] = {"readout": whole.readout, "allow_unproven": allow_unproven, "name": file.stem}
    with gathered() as texts:
        read = read_nir(file)
        made = lower(read.model, whole.spec(read.shape), whole.steps, **options)
    if made.digest != whole.digest:
        got = f"its network is {made.digest[:12]}, it says {whole.digest[:12]}"
        texts.append(f"{file} was changed since it was written: {got}")
    network = replace(made, origin=replace(made.origin, source=sources.source_of(str(file))))
    save(network, out)
    document = {"network": str(out), "model": str(file), "gaps": read.gaps, "notes": (), "warnings": texts}
    compare = following("squat-deploy", "verify", out, "--model", file)
    emit({**document, **summary(network)}, as_json, *_tables(network, ()), f"saved {out}", compare)


def _quantized(model: nn.Module, given: NirInputs, stated: NirStated) -> tuple[nn.Module, InputSpec]:
    """The quantized model, and what enters it."""
    from squat_deploy.snn import ptq

    assert stated.steps is not None and stated.weight_bits is not None and stated.state_bits is not None
    made = ptq.quantize(
        behind_grid(model, given.grid),
        given.data,
        steps=stated.steps,
        weight_bits=stated.weight_bits,
        state_bits=stated.state_bits,
        levels=stated.levels,
        input_bits=stated.input_bits,
        encoding=given.encoding,
    )
    return made, given.grid or ptq.input_spec(made, given.data, given.encoding)


def _lowered(made: nn.Module, spec: InputSpec, stated: NirStated, name: str, *, allow_unproven: bool) -> Network:
    from squat_deploy.lowering import lower

    assert stated.steps is not None
    readout = stated.readout or "count"
    return lower(made, spec, stated.steps, readout=readout, allow_unproven=allow_unproven, name=name)


def _tables(network: Network, told: tuple[str, ...]) -> Iterator[RenderableType]:
    yield from told
    yield f"readout: {network.readout}"
    yield network_table(network)
    yield certificate_table(network.certificate)
