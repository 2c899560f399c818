"""Trees of values with origins: merging keeps the last writer of every key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qsr.options.tree import DEFAULT, Origin, Tree, dotted
from qsr.options.yaml_lines import parse_yaml

NESTS = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


def tree(text: str, source: str) -> Tree:
    return Tree.from_document(parse_yaml(text, source), source)


def test_merge_keeps_sections_and_replaces_lists() -> None:
    below = tree("a: {b: 1, c: [1, 2]}\nd: 4", "below")
    below.merge(tree("a:\n  c: [3]\ne: 5", "above"))
    assert below.value == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert str(below.origin(("a", "b"))) == "below:1"
    assert str(below.origin(("a", "c"))) == "above:2"
    assert str(below.origin(("a", "c", 0))) == "above:2"
    assert ("a", "c", 1) not in below.origins


def test_merge_does_not_share_values() -> None:
    above = tree("a: [1]", "above")
    below = Tree()
    below.merge(above)
    below.value["a"].append(2)
    assert above.value == {"a": [1]}


def test_origin_of_what_was_never_written_is_its_section_or_default() -> None:
    written = Tree({"a": {}}, {("a",): Origin("x", 3)})
    assert written.origin(("a", "b")) == Origin("x", 3)
    assert written.origin(("z",)) == DEFAULT


def test_move_and_remove_keep_the_origin() -> None:
    written = tree("a:\n  old: 1", "x")
    written.move(("a", "old"), ("a", "new"))
    assert written.value == {"a": {"new": 1}}
    assert str(written.origin(("a", "new"))) == "x:2"
    written.remove(("a", "new"))
    assert not written.has(("a", "new"))
    assert str(written.origin(("a", "new"))) == "x:2"


def test_get_and_has() -> None:
    written = Tree({"a": {"b": None}})
    assert written.has(("a", "b"))
    assert not written.has(("a", "c"))
    assert written.get(("a", "b", "c")) is None
    assert dotted(("a", 0, "b")) == "a.0.b"


@given(NESTS, NESTS)
def test_every_leaf_of_the_upper_tree_wins(below: dict, above: dict) -> None:
    merged = Tree()
    merged.merge(Tree(below, {(): Origin("below")}))
    merged.merge(Tree(above, {(): Origin("above")}))
    assert all(merged.get(path) == value for path, value in Tree(above).leaves())
    upper = [path for path, _ in Tree(above).leaves()]
    kept = {path: value for path, value in merged.leaves() if path not in upper}
    assert all(Tree(below).get(path) == value for path, value in kept.items())


@given(NESTS)
def test_merging_a_tree_into_itself_changes_nothing(nest: dict) -> None:
    merged = Tree()
    merged.merge(Tree(nest))
    merged.merge(Tree(nest))
    assert merged.value == nest
