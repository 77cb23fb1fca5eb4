"""Boards with an FPGA that open tools place on, and a serial line to a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SerialBoardName = Literal["ulx3s", "tang-nano-9k", "icebreaker"]
BAUD = 1_000_000


@dataclass(frozen=True)
class SerialBoard:
    """A board.

    Attributes:
        target, devices: as `squat-deploy synth` names them; the board comes with any of these, the first by default.
        mhz: of its oscillator, which is the clock of the core.
        pins: {port of the top: location}.
        high: ports beside clock and line, which are held high.
        loader: name of the board for openFPGALoader.
        suffix: of the files for pins and of bitstreams.
    """

    title: str
    target: str
    devices: tuple[str, ...]
    mhz: int
    pins: Mapping[str, str]
    loader: str
    pin_suffix: str
    suffix: str
    high: tuple[str, ...] = ()

    @property
    def divider(self) -> int:
        """Cycles a bit of the line."""
        return self.mhz * 1_000_000 // BAUD

    @property
    def baud(self) -> int:
        return BAUD


SERIAL_BOARDS: dict[SerialBoardName, SerialBoard] = {
    # wifi_gpio0 low would let the ESP32 on the board take the line.
    "ulx3s": SerialBoard(
        "ULX3S",
        "ecp5",
        ("85k", "45k", "25k"),
        25,
        {"clk": "G2", "uart_rx": "M1", "uart_tx": "L4", "wifi_gpio0": "L2"},
        "ulx3s",
        "lpf",
        "bit",
        ("wifi_gpio0",),
    ),
    "tang-nano-9k": SerialBoard(
        "Tang Nano 9K",
        "gowin",
        ("gw1nr-9c",),
        27,
        {"clk": "52", "uart_rx": "18", "uart_tx": "17"},
        "tangnano9k",
        "cst",
        "fs",
    ),
    "icebreaker": SerialBoard(
        "iCEBreaker",
        "ice40",
        ("up5k",),
        12,
        {"clk": "35", "uart_rx": "6", "uart_tx": "9"},
        "ice40_generic",
        "pcf",
        "bin",
    ),
}
