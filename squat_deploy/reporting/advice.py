"""What to change next: each sentence follows from a number that stands elsewhere in the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

from squat_deploy.errors import ExportError
from squat_deploy.hardware.balancing import Fold
from squat_deploy.hardware.budget import RESOURCES
from squat_deploy.hardware.design import outline_of
from squat_deploy.hardware.folding import Folding, Share, refold
from squat_deploy.hardware.lanes import widths
from squat_deploy.network import Network
from squat_deploy.network.activity import activity
from squat_deploy.reporting.bits import state_bits, weight_bits
from squat_deploy.reporting.blocks import Block, Items, Paragraph, Section, count
from squat_deploy.reporting.life import lives
from squat_deploy.reporting.material import Core, Material


def advice_section(material: Material) -> Section:
    """Proof first, then life, bits and cycles."""
    found = [*_unproven(material.network), *_differing(material), *_lifeless(material), *_unused(material)]
    if material.core is not None:
        found += [*_faster(material.network, material.core), *_short(material.core)]
    found += material.run.warnings
    block: Block = Items(tuple(found)) if found else Paragraph("Nothing stands out.", "good")
    return Section("next", "What to change next", (block,))


def _unproven(network: Network) -> Iterator[str]:
    if not network.certificate.layers:
        yield "Nothing is proven: lower the trained model, so that the network carries a certificate."
    for row in network.certificate.layers:
        if not row.proven:
            yield (
                f"{row.layer} is not proven: {row.at_risk:,} combinations of state and sum are at risk (rule: "
                f"{row.rule}); lower its exact form (sd.exact, --exact), or train with power-of-two scales."
            )


def _differing(material: Material) -> Iterator[str]:
    for row in material.agreement.rows if material.agreement else ():
        if row.mismatches:
            yield f"{row.label} differs in {row.mismatches:,} of {row.values:,} values, first at {row.first}."


def _lifeless(material: Material) -> Iterator[str]:
    here = material.run.described
    for row in lives(material, activity(material.network)):
        quiet = row.dead + row.silent
        if row.dead == row.neurons:
            yield f"{row.name}: none of its neurons can ever fire, on any input; compare weights with threshold."
        elif quiet == row.neurons:
            yield f"{row.name} is silent: no neuron fired on {here}, though {count(row.silent)} could on others."
        elif row.dead:
            yield f"{row.name}: {count(row.dead)} of {count(row.neurons)} neurons can never fire; they can be pruned."
        if row.always == row.neurons:
            yield f"{row.name}: every neuron fires at every step on {here}; look at bias and threshold."


def _unused(material: Material) -> Iterator[str]:
    for weights in weight_bits(material.network):
        if weights.needed < weights.bits:
            yield (
                f"{weights.name}: all weights are multiples of {weights.common}; with that in the scale they take "
                f"{weights.needed} bits in place of {weights.bits}."
            )
    alive = {row.name for row in lives(material, activity(material.network)) if row.some + row.always}
    for states in state_bits(material) if material.run.given else ():
        met = states.levels if states.met is None else states.met
        spare = (states.levels - 1).bit_length() - max(1, (met - 1).bit_length())
        if spare > 0 and states.name in alive:
            yield (
                f"{states.name}: {met} of {states.levels} levels were met on {material.run.described}; {spare} state "
                f"bit{'s' * (spare > 1)} less may do: train it so, and compare the accuracy."
            )


def _short(core: Core) -> Iterator[str]:
    short = core.folding.shortage
    if short is not None:
        yield f"The core does not fit a {short.part}: {short.excess}. What helps: {short.remedies}."


def _faster(network: Network, core: Core) -> Iterator[str]:
    """The process that takes longest, and the fewest lanes with which it takes half as long."""
    folding = core.folding
    slowest = max(folding.schedule.processes, key=lambda row: row.mean)
    place = folding.schedule.processes.index(slowest) - 1  # the input is none of the shares
    if not 0 <= place < len(folding.shares):
        yield f"The {slowest.name} takes longest, {slowest.mean:,.0f} cycles a step; PE does not change that."
        return
    share = folding.shares[place]
    halved = _halved(network, core, place)
    told = f"{share.process} takes longest, {share.cycles:,.0f} cycles a step with PE {share.pe} of {share.widest}"
    if halved is None:
        yield f"{told}; no PE halves that: fewer events would (spikes, or inputs that are not 0), or fewer neurons."
        return
    now, then = folding.schedule.mean_cycles, halved.schedule.mean_cycles
    yield (
        f"{told}; PE {halved.shares[place].pe} makes it {halved.shares[place].cycles:,.0f}, and a whole sequence "
        f"{then:,.0f} cycles in place of {now:,.0f}{_price(folding, halved)}."
    )


def _halved(network: Network, core: Core, place: int) -> Folding | None:
    """The folding with the fewest lanes of one process that take half its cycles, or None."""
    folding, outline = core.folding, outline_of(network, core.config)
    share = folding.shares[place]
    for pe in (wider for wider in widths(share.widest) if wider > share.pe):
        try:
            found = refold(outline, core.events, [_fold(one, pe if one is share else one.pe) for one in folding.shares])
        except ExportError:  # a folding that cannot be made halves nothing
            continue
        if found.shares[place].cycles <= share.cycles / 2:
            return found
    return None


def _fold(share: Share, pe: int) -> Fold:
    return Fold(pe, share.events)


def _price(now: Folding, then: Folding) -> str:
    """What more it takes, and whether there is room."""
    pairs = zip(RESOURCES, astuple(now.budget.total), astuple(then.budget.total), strict=True)
    more = ", ".join(f"{after - before:+,} {name}" for name, before, after in pairs if after != before)
    part = then.budget.offer
    room = "" if part is None else f"; it {'fits' if then.budget.fits else 'does not fit'} a {part.name}"
    return f" ({more}{room})" if more else room
