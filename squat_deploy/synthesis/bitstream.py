"""From a project with a board to the file that configures it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from squat_deploy.errors import ConfigError, ToolError, translated
from squat_deploy.files import write_file
from squat_deploy.synthesis.flow import manifest_in, target_of
from squat_deploy.synthesis.netlist import Say, cells_of
from squat_deploy.synthesis.routing import START, Routed, check_size, placed
from squat_deploy.synthesis.running import run_logged
from squat_deploy.synthesis.targets import Resources, Target, resources_of


class _Board(BaseModel):
    """What the manifest of a project says of its board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    target: str
    devices: tuple[str, ...]
    mhz: int
    pin_suffix: Literal["lpf", "pcf", "cst"]
    suffix: Literal["bit", "bin", "fs"]


@dataclass(frozen=True)
class Bitstream:
    """A board's configuration.

    Attributes:
        mhz: of its clock; `routed.mhz` is what the design would take.
    """

    board: str
    device: str
    mhz: int
    resources: Resources
    routed: Routed
    path: Path

    def rows(self) -> dict[str, str]:
        """For a table."""
        found = self.resources
        return {
            "LUT": f"{found.lut + found.lut_ram:,}",
            "FF": f"{found.ff:,}",
            "block RAM": f"{found.bram:g}",
            "clock": f"{self.mhz} MHz; routed for {self.routed.mhz:.1f} MHz",
        }


def make_bitstream(
    project: Path, *, device: str | None = None, seed: int = 1, say: Say = lambda what, done, total: None
) -> Bitstream:
    """Synthesises, places, routes and packs the board of a project into board/squat.SUFFIX.

    Args: as for `synthesize`.

    Raises:
        ConfigError: no such device, no project of `rtl`, or one without a board.
        ToolError: a tool is missing or fails, with its first error; the design does not fit, or is slower
            than the board.
    """
    board = _board_of(project)
    family = target_of(board.target)
    target = replace(family, devices=tuple(one for one in family.devices if one.name in board.devices))
    part = target.device(device)
    assert part is not None and target.package is not None
    work = Path("build") / "board"
    (project / work).mkdir(parents=True, exist_ok=True)
    cells, _ = cells_of(_script(target, work), project, work, say)
    found = resources_of(target, cells)
    check_size(target, part, found)
    how = _Packing(board, target, work)
    goal = ["--freq", str(board.mhz), "--timing-allow-fail", "--seed", str(seed)]
    routed = placed(target, part, project, work, arguments=[*goal, *how.placement], say=say)
    if routed.mhz < board.mhz:
        raise ToolError(
            f"the {board.title} runs at {board.mhz} MHz, this core at {routed.mhz:.1f}; use a lower PE or --form offset"
        )
    run_logged("packing", how.command, project, project / work / "pack.log", line=lambda text: None)
    path = project / "board" / f"squat.{board.suffix}"
    write_file(path, (project / work / how.packed).read_bytes())
    return Bitstream(board.title, part.name, board.mhz, found, routed, path)


def _board_of(project: Path) -> _Board:
    """Raises: ConfigError."""
    stated = manifest_in(project).get("board")
    if stated is None:
        raise ConfigError(f"{project} has no board; write it with `squat-deploy rtl NET --board ulx3s`")
    with translated(ConfigError, f"{project}: its manifest is damaged; write it again"):
        return _Board.model_validate(stated)


def _script(target: Target, work: Path) -> list[str]:
    return [
        "read_verilog -defer -sv rtl/lib/*.sv rtl/squat_core.sv board/*.sv",
        f"{target.synth} -top squat_board",
        f"tee -q -o {work}/cells.json stat -json",
        "delete t:$scopeinfo",
        f"write_json {work}/netlist.json",
    ]


@dataclass(frozen=True)
class _Packing:
    """How a family is given its pins, and its routed design made a file."""

    board: _Board
    target: Target
    work: Path

    @property
    def packed(self) -> str:
        return f"squat.{self.board.suffix}"

    @property
    def placement(self) -> list[str]:
        """Arguments of nextpnr."""
        pins = f"board/squat.{self.board.pin_suffix}"
        return {
            "ecp5": ["--lpf", pins, "--textcfg", f"{self.work}/routed"],
            "ice40": ["--pcf", pins, "--asc", f"{self.work}/routed"],
            "gowin": ["--vopt", f"cst={pins}", "--write", f"{self.work}/routed"],
        }[self.target.name]

    @property
    def command(self) -> list[str]:
        """That packs."""
        routed, packed = f"{self.work}/routed", f"{self.work}/{self.packed}"
        if self.target.name == "gowin":
            return [sys.executable, "-m", "apycula.gowin_pack", "-d", "GW1N-9C", "-o", packed, routed]
        assert self.target.package is not None
        tool = {"ecp5": "ecppack", "ice40": "icepack"}[self.target.name]
        start = START.format(package=self.target.package.replace("-", "_"), tool=tool)
        return [sys.executable, "-c", start, *(["--compress"] if tool == "ecppack" else []), routed, packed]
