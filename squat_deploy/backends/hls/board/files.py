"""The files of a project that are there for its board."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from squat_deploy.backends.driver import Driver, driver_of
from squat_deploy.hardware.boards import BOARDS
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import IntArray

_STOP = "std::abort();"
_WAIT = f"""#ifdef SQUAT_WHEN_EMPTY
void SQUAT_WHEN_EMPTY();  // of the stand-in for a board
SQUAT_WHEN_EMPTY();
#else
{_STOP}
#endif"""


@dataclass(frozen=True)
class BoardDesign:
    """What Vivado is told, and Make.

    Attributes:
        identity: of the numbers that the driver relies on.
        mhz: of the clock.
        processor: template of the processing system.
        control, dma, memory: addresses and a size, as Tcl writes them.
    """

    header: str
    identity: str
    title: str
    part: str
    files: str
    clock_ns: float
    mhz: str
    processor: str
    control: str
    dma: str
    memory: str


def board_files(design: Design, config: HlsConfig, header: str) -> Iterator[tuple[str, str, object]]:
    """(path, template, view) of all files; none for a project without a board."""
    if config.board is None:
        return
    driver = driver_of(design, header)
    view = _design_of(config, driver)
    for name in ("board.mk", "core.tcl", "design.tcl", "impl.tcl", "simulated.cpp"):
        yield f"board/{name}", f"board/{name}", view
    yield "board/pynq/squat_device.py", "board/squat_device.py", driver
    yield "board/pynq/squat.ipynb", "board/squat.ipynb", driver


def when_empty(config: HlsConfig) -> str:
    """What a stream of the host does where it has nothing to read: a core on a board would wait."""
    return _STOP if config.board is None else _WAIT


def board_data(config: HlsConfig, scores: IntArray) -> dict[str, str]:
    """Scores (B, outputs) of the golden sequences, one sequence a line, by the path of their file."""
    if config.board is None:
        return {}
    return {"board/pynq/scores.dat": "".join(",".join(map(str, row)) + ",\n" for row in scores.tolist())}


def _design_of(config: HlsConfig, driver: Driver) -> BoardDesign:
    assert config.board is not None
    board = BOARDS[config.board]
    return BoardDesign(
        header=driver.header,
        identity=driver.identity,
        title=board.title,
        part=config.part,
        files=board.files,
        clock_ns=config.clock_ns,
        mhz=f"{1000 / config.clock_ns:.6f}",
        processor=f"board/{board.processor}.tcl.jinja",
        control=f"0x{board.control:08x}",
        dma=f"0x{board.dma:08x}",
        memory=f"0x{board.memory:08x}",
    )
