"""HTML and SVG elements from Python: whatever is not marked as markup is escaped, so that names can hold anything.

>>> tag("td", "<b>", class_="number", data_v=3)
'<td class="number" data-v="3">&lt;b&gt;</td>'
>>> tag("p", tag("b", "a & b"))
'<p><b>a &amp; b</b></p>'
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset(("br", "img", "input", "meta"))
Value = str | int | float | bool | None


class Markup(str):
    """Text that is HTML already. Made by this module only; everything else is plain text and gets escaped."""

    __slots__ = ()


def text(value: object) -> Markup:
    """`value` as HTML text; quotes are escaped too, so that it may stand in an attribute. Markup comes back as it is."""
    return value if isinstance(value, Markup) else Markup(escape(str(value), quote=True))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Escaped parts, one after the other; None is left out."""
    return Markup(text(between).join(text(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: Value) -> Markup:
    """One element. Children that are no Markup are escaped, None is left out.

    attributes: `data_v` becomes data-v, `class_` class; None and False leave the attribute out, True gives it without
    a value. Raises ValueError for children of an element that cannot have any.
    """
    if name in VOID and children:
        raise ValueError(f"<{name}> cannot have children")
    head = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{head}>") if name in VOID else Markup(f"<{head}>{join(children)}</{name}>")


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'
