"""Parameters of every instance in the generated top, by their names in the library's modules, as SystemVerilog."""

from __future__ import annotations

from collections.abc import Mapping

from squat_deploy.backends.rtl.plan import Layer, RtlPlan

Parameters = Mapping[str, int | str]  # a string is printed as it is: a flag, or the name of a file of ours


def reader(plan: RtlPlan) -> Parameters:
    """Of `squat_reader`."""
    return {"WORDS": plan.frame.words, "ONCE": _flag(plan.design.entry.once)}


def lister(layer: Layer) -> Parameters:
    """Of the `squat_lister` in front of a layer."""
    listing = layer.listing
    return {"FIELDS": listing.fields, "VALUE": listing.value, "SIMD": listing.simd, "INDEX": listing.index}


def scatter(layer: Layer) -> Parameters:
    """Of a layer's `squat_scatter`."""
    synapses, lanes, listing = layer.synapses, layer.neurons.lanes, layer.listing
    return {
        "PE": lanes.pe,
        "GROUPS": lanes.groups,
        "SIMD": listing.simd,
        "INDEX": listing.index,
        "ENTRIES": listing.entries,
        "VALUE": listing.value,
        "VALUE_SIGNED": _flag(listing.signed),
        "WEIGHT": synapses.rom.bits,
        "BIPOLAR": _flag(synapses.rom.bipolar),
        "SUM": synapses.signal.bits,
        "HELD": _flag(synapses.held),
        "WEIGHTS": _file(layer, "weights_"),
        "START": _file(layer, "start.hex"),
    }


def neurons(layer: Layer) -> Parameters:
    """Of a layer's `squat_neurons`."""
    lanes, tables, part = layer.neurons.lanes, layer.neurons.tables, layer.neurons
    return {
        "PE": lanes.pe,
        "GROUPS": lanes.groups,
        "CHANNELS": lanes.channels,
        "SUM": layer.synapses.signal.bits,
        "STATE": part.state_bits,
        "STATES": part.states,
        "LEVEL": tables.search_bits,
        "KEY": tables.key_bits,
        "KEYS": _flag(tables.form == "offset"),
        "FRACTION": tables.fraction_bits,
        "CARRIED": _flag(tables.successor is None),
        "REST": part.rest,
        "OWN": _flag(tables.spread != "shared"),
        **{name: _file(layer, f"{name.lower()}_") for name in ("TABLE", "OFFSET", "SUCCESSOR", "FIRE")},
    }


def scores(plan: RtlPlan) -> Parameters:
    """Of `squat_scores`."""
    part = plan.layers[-1].neurons
    return {
        "PE": part.lanes.pe,
        "GROUPS": part.lanes.groups,
        "CLASSES": part.lanes.channels,
        "STATE": part.state_bits,
        "STATES": part.states,
        "MODE": plan.mode,
        "WORTH": '"memories/worth.hex"',
    }


def _flag(value: bool) -> str:
    return f"1'b{value:d}"


def _file(layer: Layer, name: str) -> str:
    return f'"memories/layer{layer.number}_{name}"'
