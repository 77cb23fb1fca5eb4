"""What an instance of a module of the library is: its parameters, what its ports are connected to, its memories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from squat_deploy.backends.rtl.streams import Bundle, Page, Stream

Parameters = Mapping[str, int | str]  # a string is printed as it is: a flag, or the name of a file of ours


@dataclass(frozen=True, eq=False)
class Instance(ABC):
    """One instance of a module of the library.

    Attributes:
        name: in the top.
    """

    name: str
    module: ClassVar[str]

    @property
    def about(self) -> str:
        """A comment, or nothing."""
        return ""

    @property
    @abstractmethod
    def parameters(self) -> Parameters: ...

    @property
    @abstractmethod
    def ports(self) -> Mapping[str, str]:
        """What each port but the clock and the reset is connected to; "" where it has the port's own name."""

    @property
    @abstractmethod
    def gives(self) -> tuple[Bundle, ...]:
        """What it gives; the wires are declared with it."""

    @property
    def memories(self) -> Mapping[str, str]:
        """Text of its memories by the names of their files."""
        return {}

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules of the library that it is made of."""
        return (self.module,)


class Between(Instance):
    """From one stream or page to another."""

    source: Stream | Page
    out: Stream | Page

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self.source.ports("in"), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


class Summed(Instance):
    """From a stream or a page to pages of one array of sums."""

    source: Stream | Page
    outs: tuple[Page, ...]

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self.source.ports("in"), **page_ports(self.outs)}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return self.outs


def page_ports(outs: tuple[Page, ...]) -> dict[str, str]:
    """Pages of one array of sums, side by side, as the ports `out_*` of the module that has it."""
    wires = ("full", "flags", "row", "read", "sums", "done")
    return {f"out_{wire}": f"{{{', '.join(f'{page.name}_{wire}' for page in reversed(outs))}}}" for wire in wires}


def flag(value: bool) -> str:
    """As SystemVerilog."""
    return f"1'b{value:d}"


def file(name: str) -> str:
    """The path of a memory, or how it begins."""
    return f'"memories/{name}"'
