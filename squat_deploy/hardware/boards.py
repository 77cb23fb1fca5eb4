"""Boards that a project can be made for whole: their part, and where Vivado finds what it must know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BoardName = Literal["pynq-z2", "zcu104"]


@dataclass(frozen=True)
class Board:
    """A board with a processor that runs PYNQ.

    Attributes:
        part: as Vitis and Vivado name it.
        files: name of the board files, without their version; who publishes them is part of it.
        processor: template of the processing system.
        control, dma: addresses of the registers of the core, and of those of the DMA, as the processor sees them.
        memory: bytes of DDR memory from address 0 on that the DMA reaches.
    """

    title: str
    part: str
    files: str
    processor: Literal["zynq", "zynq_ultra"]
    control: int
    dma: int
    memory: int


BOARDS: dict[BoardName, Board] = {
    "pynq-z2": Board(
        "PYNQ-Z2", "xc7z020clg400-1", "tul.com.tw:pynq-z2:part0", "zynq", 0x43C0_0000, 0x4040_0000, 0x2000_0000
    ),
    "zcu104": Board(
        "ZCU104", "xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0", "zynq_ultra", 0xA000_0000, 0xA001_0000, 0x8000_0000
    ),
}
