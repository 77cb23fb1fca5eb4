"""A module twice, with the same inputs and other contents: what it held before its reset must not be seen behind it.

Both get the same handshakes, and the same numbers where these count; then both must answer so. Since what one module
may see of another is what this asks of the other, it holds for all of them together. Numbers count by the names of
ports: `in_index` where `in_valid` is high, `m_axis_tdata` where `m_axis_tvalid` is, `in_flags` where `in_full` is,
`in_row` where `in_read` is, `add_row` where `add` is; `in_sums` since a row was read (`in_read`, READ times) from a
page that was full.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from squat_deploy.proofs.solving import Claim, elaborated, read_commands

_MEMORY = re.compile(r"(\w+)_sums")
_HANDSHAKE = re.compile(r"\w+_(t?valid|full|done|read)|[a-z]+")
_MARK = "same_"


@dataclass(frozen=True)
class _Port:
    """A port, and the name of the wire that says where it counts, or nothing where it always does."""

    name: str
    bits: int
    enters: bool
    where: str

    @property
    def shared(self) -> bool:
        """Whether both copies have one wire."""
        return self.enters and not self.where

    def wire(self, copy: str) -> str:
        """Its wire at a copy."""
        return self.name if self.shared else f"{copy}_{self.name}"


def twins_of(claim: Claim, cycles: int) -> Claim:
    """The claim that nothing is seen of what a claim's module held. Raises: ToolError where Yosys cannot read it."""
    ports, reads = _ports(claim)
    return replace(
        claim,
        text="what registers and memories held before the reset is never seen after it",
        top="twins",
        sources={**claim.sources, "twins.sv": _harness(claim, ports, reads)},
        cycles=cycles,
        induction=0,
        between=(
            "setattr -unset init w:a.* w:b.* w:*proof_* %d",
            f"chformal -assert -remove t:$check c:*{_MARK}* %d",
        ),
    )


def _ports(claim: Claim) -> tuple[list[_Port], int]:
    """Ports, and reads from that of a row to its sums."""
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        folder = Path(scratch)
        for name, text in {**claim.sources, **claim.files}.items():
            (folder / name).write_text(text)
        elaborated([*read_commands(claim), "proc", f"write_json {folder / 'ports.json'}"], folder)
        modules = json.loads((folder / "ports.json").read_text())["modules"]
    module: Mapping[str, Any] = next(m for m in modules.values() if int(m["attributes"].get("top", "0"), 2))
    found, names = module["ports"], set(module["ports"])
    ports = [
        _Port(name, len(port["bits"]), port["direction"] == "input", _where(name, names))
        for name, port in found.items()
        if name != "clk"
    ]
    return ports, int(module.get("parameter_default_values", {}).get("READ", "1"), 2)


def _where(name: str, names: set[str]) -> str:
    if (memory := _MEMORY.fullmatch(name)) and f"{memory[1]}_read" in names:
        return f"{memory[1]}_known"
    if _HANDSHAKE.fullmatch(name):
        return ""
    prefix = name.rpartition("_")[0]
    ways = [f"{prefix}_read"] if name.endswith("_row") else [f"{prefix}_{word}" for word in ("valid", "tvalid", "full")]
    return next((way for way in (*ways, prefix) if way in names), "")


def _harness(claim: Claim, ports: Sequence[_Port], reads: int) -> str:
    """The module `twins`."""
    entering = [(wire, port.bits) for port in ports if port.enters for wire in _wires(port)]
    leaving = [(wire, port.bits) for port in ports if not port.enters for wire in _wires(port)]
    by_name = {port.name: port for port in ports}
    pages = sorted({port.where.removesuffix("_known") for port in ports if port.where.endswith("_known")})
    lines = ["module twins (input wire clk"]
    lines += [f", input wire [{bits - 1}:0] {wire}" for wire, bits in entering]
    lines += [");", *(f"wire [{bits - 1}:0] {wire};" for wire, bits in leaving)]
    for copy in ("a", "b"):
        joined = ", ".join(f".{port.name}({port.wire(copy)})" for port in ports)
        lines.append(f"{claim.top} {copy} (.clk(clk), {joined});")
    lines += ["logic begun = 1'b0;", "always_ff @(posedge clk) begun <= 1'b1;"]
    for page in pages:
        read, full = (by_name[f"{page}_{what}"].wire("a") for what in ("read", "full"))
        lines += [f"logic [{reads - 1}:0] {page}_reads = '0;", f"wire {page}_known = {page}_reads[{reads - 1}];"]
        lines += [f"always_ff @(posedge clk) if (rst) {page}_reads <= '0;"]
        lines += [f"else if ({read}) {page}_reads <= {reads}'({{{page}_reads, {full}}});"]
    lines += ["always_comb begin", "if (!begun) assume (rst);" if "rst" in by_name else ""]
    lines += [line for port in ports if not port.shared for line in _rules(port, by_name)]
    return "\n".join([*lines, "end", "endmodule", ""])


def _wires(port: _Port) -> tuple[str, ...]:
    return (port.name,) if port.shared else (port.wire("a"), port.wire("b"))


def _rules(port: _Port, by_name: Mapping[str, _Port]) -> list[str]:
    one, other = _wires(port)
    counts = by_name[port.where].wire("a") if port.where in by_name else port.where or "1'b1"
    if port.enters:
        return [f"if ({counts}) assume ({one} == {other});"]
    return [f"if (begun && ({counts})) {_MARK}{port.name}: assert ({one} == {other});"]
