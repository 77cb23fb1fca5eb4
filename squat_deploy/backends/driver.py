"""The driver of a board: the numbers of one core, and the laws of the plan as the source that they are."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, replace

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.units import ReadInput
from squat_deploy.hardware.words import Fields
from squat_deploy.network.encoders import END_OF_EVENTS, EventEncoder, takes_intensities
from squat_deploy.network.readout import SCORES

_RUN_TAKES = {
    "direct": "integers (batch, {shape}) in {range}",
    "sequence": "integers ({steps}, batch, {shape}) in {range}",
    "intensities": "intensities (batch, {shape}) in {range}",
    "events": "a list of (times, addresses), one a sequence, in ticks and addresses 0..{last}",
}
_CALL_TAKES = {
    "direct": "integers ({shape}) where the call restarts, else None: the core keeps them",
    "sequence": "integers (steps, {shape})",
    "intensities": "intensities ({shape}) where the call restarts, else None: the core keeps them",
    "events": "(times, addresses) of the whole sequence where the call restarts, else None",
}

_TEXTS = ("header", "run_takes", "call_takes", "fields_source", "scores")  # that may change from version to version


@dataclass(frozen=True)
class Driver:
    """The file `squat_device.py`, and the notebook.

    Attributes:
        run_takes, call_takes: inputs, in words.
        fields: one frame in the words of the stream; `fields_source` is the class.
        window: ticks of a time step, 1 where no events enter.
        value_step: of membranes; 0 where scores are no membranes.
        value_lowest: integer of the lowest membrane, where scores are sums.
        identity: of all the numbers: a bitstream and a driver that differ in it are not of one project.
    """

    header: str
    digest: str
    run_takes: str
    call_takes: str
    steps: int
    shape: tuple[int, ...]
    low: int
    high: int
    step: float
    feed: str
    fields: Fields
    fields_source: str
    window: int
    end_of_events: str
    outputs: int
    words_a_score: int
    readout: str
    scores: str
    value_step: float
    value_table: tuple[int, ...]
    value_lowest: int
    identity: str = ""


def driver_of(design: Design, header: str) -> Driver:
    """The driver of a design."""
    network, entry = design.network, design.entry
    spec, values, feed = network.input, network.values, _feed_of(entry)
    low, high = (0, entry.fields.mask) if feed == "intensities" else (spec.low, spec.high)
    named = {
        "shape": ", ".join(map(str, spec.shape)),
        "range": f"{low}..{high}",
        "steps": network.steps,
        "last": spec.size - 1,
    }
    driver = Driver(
        header=header,
        digest=network.digest,
        run_takes=_RUN_TAKES[feed].format(**named),
        call_takes=_CALL_TAKES[feed].format(**named),
        steps=network.steps,
        shape=spec.shape,
        low=low,
        high=high,
        step=spec.step,
        feed=feed,
        fields=entry.fields,
        fields_source=inspect.getsource(Fields).rstrip(),
        window=entry.encoder.window if isinstance(entry.encoder, EventEncoder) else 1,
        end_of_events=f"0x{END_OF_EVENTS:X}",
        outputs=network.outputs,
        words_a_score=2 if network.worth else 1,
        readout=network.readout,
        scores=SCORES[network.readout],
        value_step=0.0 if values is None else values.step,
        value_table=() if values is None else values.table,
        value_lowest=0 if values is None else values.offset // values.divisor,
    )
    numbers = {name: value for name, value in vars(driver).items() if name not in _TEXTS}
    return replace(driver, identity=hashlib.sha256(repr(numbers).encode()).hexdigest()[:16])


def _feed_of(entry: ReadInput) -> str:
    """What is sent: a frame a sequence, one a time step, intensities, or events."""
    if isinstance(entry.encoder, EventEncoder):
        return "events"
    return "intensities" if takes_intensities(entry.encoder) else entry.spec.encoding
