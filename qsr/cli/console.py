"""The console that every verb prints through: a table that is piped into a file is not squeezed into 80 columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 140


def open_console() -> Console:
    """rich's console on stdout: the terminal's own width, or 140 columns where there is no terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
