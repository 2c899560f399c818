"""The super-resolution protocol as an object: what is compared, where, and under which name.

Differences of 1.5 to 2 dB between reports of one network come from colour channel, border and rounding.
So every number carries the name of the protocol that it was measured with, and the name says all three:

>>> default(4).name
'sr-y-crop4-uint8'
>>> Protocol(scale=2, crop=6, y_channel=False).name
'sr-rgb-crop6-uint8'
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qsr.errors import FormatError, OptionsError


@dataclass(frozen=True)
class Protocol:
    """How two uint8 pictures are compared.

    scale: the super-resolution factor; HR is cropped (bottom, right) to a multiple of it.
    crop: HR pixels left out on every side.
    y_channel: compare Y of BT.601 studio range, kept in floating point; else the three RGB channels.
    round_y: round Y to integers first, as MATLAB's rgb2ycbcr on uint8 does (0.01 dB or less).
    """

    scale: int
    crop: int
    y_channel: bool = True
    round_y: bool = False

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise OptionsError(f"protocol: scale is {self.scale}, expected 1 or more")
        if self.crop < 0:
            raise OptionsError(f"protocol: crop is {self.crop}, expected 0 or more")
        if self.round_y and not self.y_channel:
            raise OptionsError("protocol: round_y is set, but RGB is compared", hint="set y_channel or drop round_y")

    @property
    def name(self) -> str:
        """What is printed under every table. "uint8" is the type of both pictures when they are compared."""
        channel = ("yround" if self.round_y else "y") if self.y_channel else "rgb"
        return f"sr-{channel}-crop{self.crop}-uint8"

    @property
    def sentence(self) -> str:
        """The name in words, for the line below a table."""
        channel = "Y of YCbCr (BT.601)" if self.y_channel else "RGB"
        rounding = "rounded to integers" if self.round_y else "not rounded"
        compared = f"{channel}, {rounding}" if self.y_channel else channel
        return f"uint8 pictures, {compared}, {self.crop} px cut off each side, mean over the pictures of a set"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Protocol:
        """Raises FormatError where `data` is no protocol or its name contradicts its values."""
        try:
            protocol = cls(data["scale"], data["crop"], data["y_channel"], data["round_y"])
        except (KeyError, TypeError) as fault:
            raise FormatError(f"not a protocol: {data!r}") from fault
        if data.get("name", protocol.name) != protocol.name:
            raise FormatError(f"protocol named {data['name']!r} has the values of {protocol.name!r}")
        return protocol


def default(scale: int) -> Protocol:
    """The protocol of the papers' tables: Y channel, border of `scale` pixels."""
    return Protocol(scale=scale, crop=scale)
