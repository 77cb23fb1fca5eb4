"""Where a network comes from: what it says of itself, which nothing proves and no digest covers."""

from __future__ import annotations

import string
from dataclasses import asdict, dataclass
from typing import Any

from squat_deploy.errors import FileFormatError

_MAX_TEXT = 512
_DIGEST = 64  # hexadecimal digits of a SHA-256


@dataclass(frozen=True)
class Origin:
    """Claims about a network, so that other models, files and inputs can be told apart from its own.

    Attributes:
        model: SHA-256 of the trained model that was lowered (`training.identity.model_digest`), or nothing.
        source: the file and factory that made it, without folders, e.g. "net.py:factory", or nothing.
        lowest, highest: smallest and largest input integer of the data that the input grid was chosen on, if any.
    """

    model: str = ""
    source: str = ""
    lowest: int | None = None
    highest: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Origin:
        """Raises: FileFormatError for anything else; a file that says nothing is one of before."""
        if data is None:
            return cls()
        if not isinstance(data, dict) or set(data) - set(cls.__dataclass_fields__):
            raise FileFormatError("origin: not of this form")
        made = cls(**data)
        if (rule := made.broken_rule()) is not None:
            raise FileFormatError(f"origin: {rule}")
        return made

    def broken_rule(self) -> str | None:
        """The first rule that a claim breaks, or None."""
        texts, ends = (self.model, self.source), (self.lowest, self.highest)
        if any(type(text) is not str or len(text) > _MAX_TEXT or not text.isprintable() for text in texts):
            return f"model and source must be printable texts of at most {_MAX_TEXT} characters"
        if self.model and (len(self.model) != _DIGEST or set(self.model) - set(string.hexdigits)):
            return f"model must be {_DIGEST} hexadecimal digits"
        if any(end is not None and (type(end) is not int or abs(end) >= 2**16) for end in ends):
            return "lowest and highest must be integers within 16 bits"
        return None

    @property
    def file(self) -> str:
        """Name of the file that made it."""
        return self.source.rpartition(":")[0] or self.source
