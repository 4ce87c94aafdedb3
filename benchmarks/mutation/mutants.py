"""Every fault of one small change that can be planted in the source of a module."""

import ast
import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
PAIRS = [("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("floor", "ceil")]
COUNTERPART = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
CONVERSIONS = {"float", "int", "str", "list", "tuple", "bool", "array", "asarray", "astype", "ascontiguousarray"}
PRECAUTIONS = {"dtype", "strict"}  # arguments that seldom matter to the result
UNTOUCHED = {"annotation", "returns", "decorator_list", "bases"}  # nothing in there runs, or only at import

Slot = tuple[ast.AST, str, int | None]  # parent, field, position in the field where that is a list


@dataclass(frozen=True)
class Mutant:
    """A module with one fault.

    Attributes
    ----------
    line
        Of the change, in the source.
    where
        Function, with its class.
    kind
        What was done.
    before, after
        The statement without and with the fault.
    source
        Of the whole module.
    """

    line: int
    where: str
    kind: str
    before: str
    after: str
    source: str


def sample(source: str, most: int, seed: str) -> list[Mutant]:
    """Draw at most so many faults of all that there are in a module, in the order of its lines."""
    tree = ast.parse(source)
    modules = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
               for alias in node.names}  # fmt: skip
    places = [(slot, where, kind, new) for slot, node, where in _walk(tree, "") for kind, new in _faults(node, modules)]
    chosen = sorted(random.Random(seed).sample(range(len(places)), min(most, len(places))))
    clean = ast.unparse(tree)
    mutants = [_planted(tree, clean, *places[number]) for number in chosen]
    return sorted((mutant for mutant in mutants if mutant.source != clean), key=lambda mutant: mutant.line)


def _walk(node: ast.AST, where: str) -> Iterator[tuple[Slot, ast.AST, str]]:
    """Yield every place that may be changed, what is there, and in which function."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED or (field == "args" and _is_reshape(node)):
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _says_nothing(child):
                yield (node, field, position), child, where
                yield from _walk(child, where)


def _is_reshape(node: ast.AST) -> bool:
    """Tell whether a call takes shapes, in which any negative number says the same."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape"


def _says_nothing(node: ast.AST) -> bool:
    """Tell whether a node is a docstring or there for the type checker alone."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _faults(node: ast.AST, modules: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yield what may stand in the place of a node, with a name for the change."""
    for other in SWAPPED.get(type(node), ()):
        yield "operator", other()
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield "constant", ast.Constant(value + 1)
            yield "constant", ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield "constant", ast.Constant(value * 1.1 if value else 0.1)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield "sign or not dropped", operand
        case ast.Name(id=name, ctx=ast.Load()) if name in COUNTERPART:
            yield "counterpart", ast.Name(COUNTERPART[name], ast.Load())
        case ast.Attribute(value=value, attr=name, ctx=ast.Load()) if name in COUNTERPART:
            yield "counterpart", ast.Attribute(value, COUNTERPART[name], ast.Load())
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "None returned", ast.Return(ast.Constant(None))
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.If(orelse=[]) | ast.Continue() | ast.Break():
            yield "statement removed", ast.Pass()
        case ast.Assign(targets=[target], value=value) if _goes_on(target, value):
            yield "statement removed", ast.Pass()
        case ast.Call():
            yield from _changed_calls(node, modules)


def _goes_on(target: ast.expr, value: ast.expr) -> bool:
    """Tell whether an assignment changes what was there before, so that the name exists without it."""
    names = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)}
    return not isinstance(target, ast.Name | ast.Tuple) or (isinstance(target, ast.Name) and target.id in names)


def _changed_calls(node: ast.Call, modules: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yield a call without one of its arguments, and what it is called on in place of the call."""
    for number, keyword in enumerate(node.keywords):
        if keyword.arg in PRECAUTIONS:
            continue
        less = copy.copy(node)
        less.keywords = node.keywords[:number] + node.keywords[number + 1 :]
        yield "argument dropped", less
    if len(node.args) > 1:
        less = copy.copy(node)
        less.args = node.args[:-1]
        yield "argument dropped", less
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in CONVERSIONS or name[:1].isupper():
        return
    of_module = not isinstance(function, ast.Attribute) or ast.unparse(function.value).split(".")[0] in modules
    inner = node.args[0] if of_module and node.args else None if of_module else function.value
    if inner is not None and not isinstance(inner, ast.Starred):
        yield "call skipped", inner


def _planted(tree: ast.Module, clean: str, slot: Slot, where: str, kind: str, new: ast.AST) -> Mutant:
    """Return the module with one node replaced; the tree is left as it was."""
    parent, field, position = slot
    value = getattr(parent, field)
    old = value if position is None else value[position]

    def put(node: ast.AST) -> None:
        if position is None:
            setattr(parent, field, node)
        else:
            value[position] = node

    put(new)
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
    finally:
        put(old)
    before, after = _difference(clean.splitlines(), source.splitlines())
    return Mutant(getattr(old, "lineno", getattr(parent, "lineno", 0)), where, kind, before, after, source)


def alike(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """Count the lines, or letters, with which both begin, and of what is left those with which both end."""
    first = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest = zip(one[first:][::-1], other[first:][::-1], strict=False)
    return first, next((n for n, (a, b) in enumerate(rest) if a != b), min(len(one), len(other)) - first)


def _difference(clean: list[str], changed: list[str]) -> tuple[str, str]:
    """Return the lines in which two sources differ, without what both begin and end with."""
    first, last = alike(clean, changed)
    ends = [[line.strip() for line in lines[first : len(lines) - last]] for lines in (clean, changed)]
    return " ⏎ ".join(ends[0]), " ⏎ ".join(ends[1])
