"""Small changes to Python sources, one at a time: what tests/mutate.py tries whether the tests notice.

    x < n          x <= n                 if ready:      if not (ready):
    a + b          a - b                  a and b        a or b
    3              4, 2                   return x       return None
    True           False                  x.append(y)    pass           (likewise raise, +=, x.a = b, x[a] = b)
    break          continue               -x, not x      x

Left alone: texts, f-strings, annotations, decorators, `if TYPE_CHECKING`: what a message says and what a type checker reads
changes nothing that a caller computes with. And calls of `kill`: another signal would end who knows what.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Mutant:
    """One change: `before`, which begins at byte `start` of the file, becomes `after`. line: of `before`, from 1."""

    file: str
    line: int
    start: int
    before: str
    after: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.start}: {_short(self.before)} -> {_short(self.after)}"

    def apply(self, source: bytes) -> bytes:
        """The changed file. Raises ValueError where the file is another one by now."""
        old = self.before.encode()
        if source[self.start : self.start + len(old)] != old:
            raise ValueError(f"{self.file}:{self.line}: {_short(self.before)!r} is not there any more")
        return source[: self.start] + self.after.encode() + source[self.start + len(old) :]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "..."


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All mutants of a source file in the order of its lines."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[tuple[int, str, str], Mutant] = {}
    for node, after in _walk(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        before = source[start : starts[node.end_lineno - 1] + node.end_col_offset].decode()
        found.setdefault((start, before, after), Mutant(file, node.lineno, start, before, after))
    return sorted(found.values(), key=lambda one: (one.start, one.after))


def parses(source: bytes) -> bool:
    """Whether a changed file still is Python: a number in a pattern, for instance, cannot become any expression."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _walk(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """(what is replaced, by what) of a node and all below it."""
    if isinstance(node, ast.expr | ast.stmt):
        for change in _changes(node):
            yield node, change
    match node:
        case ast.If(ast.Name("TYPE_CHECKING")) | ast.While(ast.Constant()):
            pass
        case ast.If(test) | ast.While(test) | ast.IfExp(test):
            yield test, _expression(ast.UnaryOp(ast.Not(), test))
    for child in _children(node):
        yield from _walk(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What is looked into."""
    match node:
        case ast.JoinedStr() | ast.Call(ast.Attribute(attr="kill" | "killpg")) | ast.If(ast.Name("TYPE_CHECKING")):
            return
        case ast.Call(ast.Name("isinstance"), [value, _]):
            yield value
            return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _changes(node: ast.expr | ast.stmt) -> Iterator[str]:
    """What may stand in place of `node`."""
    match node:
        case ast.Compare(left, operators, rights):
            for place, operator in enumerate(operators):
                swapped = [*operators[:place], COMPARISONS[type(operator)](), *operators[place + 1 :]]
                yield _expression(ast.Compare(left, swapped, rights))
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS and not _text(left):
            yield _expression(ast.BinOp(left, OPERATORS[type(operator)](), right))
        case ast.BoolOp(operator, values):
            yield _expression(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield _expression(operand)
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() as value):
            yield from (str(value + 1), _expression(ast.Constant(value - 1)))
        case ast.Constant(float() as value):
            yield repr(value + 1.0)
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value in (None, False)):
            yield "return None"
        case ast.Expr(value) if not isinstance(value, ast.Constant | ast.Yield | ast.YieldFrom):
            yield "pass"
        case ast.AugAssign() | ast.Raise() | ast.Delete():
            yield "pass"
        case ast.Assign(targets) if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            yield "pass"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"


def _text(node: ast.expr) -> bool:
    """Whether `+` joins texts and `%` fills one in."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _expression(node: ast.expr) -> str:
    """Source of an expression. Two ways to negate a condition are one: what is left of `not not x`, of `not x == y`."""
    match node:
        case ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), inner)):
            node = inner
        case ast.UnaryOp(ast.Not(), ast.Compare(left, [operator], rights)) if not isinstance(operator, ORDERED):
            node = ast.Compare(left, [COMPARISONS[type(operator)]()], rights)
    return f"({ast.unparse(node)})"
