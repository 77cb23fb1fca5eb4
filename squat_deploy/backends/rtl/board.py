"""The files of a project that are there for its board: a top with a serial line, pins, the host."""

from __future__ import annotations

from typing import Any

from squat_deploy.backends.driver import driver_of
from squat_deploy.backends.printing import as_it_is, environment
from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.serial_boards import SERIAL_BOARDS, SerialBoardName
from squat_deploy.network.encoders import EventEncoder

CHUNK = 64  # words that the host sends at once
_MODULES = ("uart_rx", "uart_tx", "host")


def board_facts(name: SerialBoardName | None) -> dict[str, Any] | None:
    """What the manifest says of it, for those who make its bitstream."""
    if name is None:
        return None
    board = SERIAL_BOARDS[name]
    return {one: getattr(board, one) for one in ("title", "target", "devices", "mhz", "pin_suffix", "suffix")}


def board_files(design: Design, name: SerialBoardName | None, header: str) -> dict[str, str | bytes]:
    """Their texts by path; none for a project without a board."""
    if name is None:
        return {}
    if isinstance(design.entry.encoder, EventEncoder):  # what is left of a sequence waits for the next call
        raise ExportError(f"board {name}: a serial line carries no address events; leave the board out, or the encoder")
    board, driver = SERIAL_BOARDS[name], driver_of(design, header)
    view: dict[str, Any] = {**vars(driver), "driver": driver, "board": board, "chunk": CHUNK}
    view |= {"baud": board.baud, "divider": board.divider, "board_title": board.title}
    templates = environment("rtl", "driver")
    files: dict[str, str | bytes] = {
        f"board/{path}": templates.get_template(f"board/{template}.jinja").render(view)
        for path, template in {
            "squat_board.sv": "board.sv",
            f"squat.{board.pin_suffix}": f"pins.{board.pin_suffix}",
            "board.mk": "board.mk",
            "uart_tb.cpp": "uart_tb.cpp",
            "squat_uart.py": "squat_uart.py",
        }.items()
    }
    return files | {f"board/squat_{module}.sv": as_it_is("rtl", f"board/squat_{module}.sv") for module in _MODULES}
