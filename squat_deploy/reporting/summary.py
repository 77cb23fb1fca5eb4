"""What a report says first."""

from __future__ import annotations

from collections.abc import Iterator

from squat_deploy.network.origin import Origin
from squat_deploy.reporting.agreeing import compared
from squat_deploy.reporting.blocks import Block, Cell, Paragraph, Section, Tiles, count
from squat_deploy.reporting.material import Core, Material


def summary_section(material: Material) -> Section:
    """Proven or not, agreed or not, accuracy, cycles, and whether it fits."""
    blocks: list[Block] = [Tiles(tuple(_tiles(material))), Paragraph(f"Inputs: {material.network.input.described}.")]
    if told := _origin(material.network.origin):
        blocks.append(Paragraph(told))
    return Section("summary", "Summary", tuple(blocks))


def _tiles(material: Material) -> Iterator[tuple[str, Cell]]:
    proven = material.network.certificate.proven
    yield "equal to the trained model on every input", Cell("proven", "good") if proven else Cell("NOT proven", "bad")
    if (agreement := material.agreement) is not None and (names := compared(agreement)):
        yield (
            f"{', '.join(names)} with the simulator, {agreement.inputs}",
            Cell("agree", "good") if agreement.agrees else Cell("DIFFER", "bad"),
        )
    run = material.run
    if run.labels is not None:
        right = (run.result.classes == run.labels).mean()
        yield f"accuracy on {run.described}", Cell(f"{right:.2%}")
    if material.core is not None:
        yield from _core(material.core)


def _core(core: Core) -> Iterator[tuple[str, Cell]]:
    mean = core.folding.schedule.mean_cycles
    yield f"cycles a sequence, {mean * core.config.clock_ns / 1000:,.1f} us", Cell(count(mean))
    if core.folding.budget.offer is not None:
        fits = Cell("fits", "good") if core.folding.budget.fits else Cell("DOES NOT FIT", "bad")
        yield f"a {core.folding.budget.offer.name}, by estimate", fits


def _origin(origin: Origin) -> str:
    model = f"the model {origin.model[:12]}" if origin.model else ""
    return (
        f"Made of {' by '.join(filter(None, (model, origin.source)))}, as it says itself."
        if model or origin.source
        else ""
    )
