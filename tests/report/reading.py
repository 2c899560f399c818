"""The page as a reader finds it: elements of a fragment by name or attribute, and their text."""

from __future__ import annotations

from html.parser import HTMLParser

from qsr.report.html import VOID


class Element:
    def __init__(self, name: str, attributes: dict[str, str | None]) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[Element | str] = []

    def __getitem__(self, attribute: str) -> str | None:
        return self.attributes.get(attribute)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, name: str | None = None, **attributes: str) -> list[Element]:
        """Elements below this one, in order; attribute names as in qsr.report.html; class_: one of the classes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if name in (None, child.name) and all(child._has(key, value) for key, value in attributes.items()):
                    found.append(child)
                found += child.all(name, **attributes)
        return found

    def _has(self, key: str, value: str) -> bool:
        found = self.attributes.get(key.rstrip("_").replace("_", "-"))
        return found is not None and (found == value or (key == "class_" and value in found.split()))


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Element("", {})]

    def handle_starttag(self, name: str, attributes: list) -> None:
        element = Element(name, dict(attributes))
        self.stack[-1].children.append(element)
        if name not in VOID:
            self.stack.append(element)

    def handle_endtag(self, name: str) -> None:
        opened = self.stack.pop()
        assert opened.name == name, f"</{name}> closes <{opened.name}>"

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def read(markup: str) -> Element:
    """The tree of a fragment or page. Fails where an end tag does not close what is open."""
    builder = _Builder()
    builder.feed(markup)
    builder.close()
    assert len(builder.stack) == 1, f"<{builder.stack[-1].name}> stays open"
    return builder.stack[0]
