"""Words of the command line whose values are names: kept as typed, where Hydra would read a number or a mark.

Hydra's grammar takes ``runs=[1_10]`` for run 110, ``1e3`` for 1000.0 and a space, a comma or a bracket for grammar. The
dataclass of a command says which settings are text, lists of text or mappings by name; their values are read here.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*|(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|inf|nan)")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag|extend_list|str|int|float|bool|json_str)\(.*\)")
_OPENING, _CLOSING = "([{", ")]}"


def as_typed(
    schema: type[Any], words: Iterable[str], grid: bool = False
) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Put names in the quotes that Hydra wants, and set mappings by name aside, whose keys it takes no quotes for.

    Parameters
    ----------
    schema
        Dataclass of the command.
    words
        ``key=value`` words as typed; options and what is not in the schema are left alone.
    grid
        Of a grid, where ``key=a,b`` means two values; names with commas need quotes there.

    Returns
    -------
    Words for Hydra, and dotted keys with mappings to be merged into what Hydra makes of them.
    """
    plain: list[str] = []
    mappings: list[tuple[str, dict[str, Any]]] = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+")
        hint = _hint(schema, name) if equals and not word.startswith(("-", "~")) else None
        if hint is None:
            plain.append(word)
        elif grid:
            plain.append(f"{key}={_grid(value, hint)}")
        else:
            read = _read(value, hint)
            if isinstance(read, dict) and read:
                mappings.append((name, read))
            else:
                plain.append(f"{key}={_for_hydra(read)}")
    return plain, mappings


def _hint(schema: type[Any], dotted: str) -> Any:
    """Type of a setting whose value is read here: str, list[...], dict[...] or Any; None leaves it to Hydra."""
    first, *rest = dotted.split(".")
    hint = get_type_hints(schema).get(first) if dataclasses.is_dataclass(schema) else None
    if get_origin(hint) in (Union, UnionType):
        hint = next(option for option in get_args(hint) if option is not type(None))
    if rest:
        return _hint(hint, ".".join(rest)) if isinstance(hint, type) else None
    of_names = get_origin(hint) is dict or (get_origin(hint) is list and get_args(hint)[0] in (str, Any))
    return hint if hint in (str, Any) or of_names else None


def _read(value: str, hint: Any) -> Any:
    """Read what was typed: null, text, a list, a mapping, or where anything may stand a number."""
    value = value.strip()
    if value == "null":
        return None
    if get_origin(hint) is list:
        body = value[1:-1] if _enclosed(value, "[]") else value
        return [_read_inner(item, get_args(hint)[0]) for item in _split(body)]
    if get_origin(hint) is dict and _enclosed(value, "{}"):
        return _read_mapping(value, get_args(hint)[1])
    return _read_inner(value, hint)


def _read_inner(value: str, hint: Any) -> Any:
    """Read an item of a list, a value of a mapping or a setting by itself."""
    if hint is str or (quoted := _QUOTED.fullmatch(value)):
        return _text(value)
    if _enclosed(value, "[]"):
        return [_read_inner(item, hint) for item in _split(value[1:-1])]
    if _enclosed(value, "{}"):
        return _read_mapping(value, hint)
    if _NUMBER.fullmatch(value):
        return float(value) if re.search(r"[.eEn]", value) else int(value)
    assert not quoted
    return {"null": None, "true": True, "false": False}.get(value, value)


def _read_mapping(value: str, hint: Any) -> dict[str, Any]:
    """Read ``{name: value, ...}``."""
    read = {}
    for item in _split(value[1:-1]):
        quoted = _QUOTED.match(item)
        end = quoted.end() if quoted else 0
        colon = item.find(":", end)
        key, inner = (item, "") if colon < 0 else (item[:colon], item[colon + 1 :].strip())
        read[_text(key.strip())] = _read_inner(inner, hint)
    return read


def _text(value: str) -> str:
    """What was typed, without the quotes that may stand around all of it."""
    quoted = _QUOTED.fullmatch(value)
    if quoted is None:
        return value
    return re.sub(r"\\(['\"\\])", r"\1", value[1:-1])


def _enclosed(value: str, brackets: str) -> bool:
    return len(value) > 1 and value[0] == brackets[0] and value[-1] == brackets[1]


def _split(body: str) -> list[str]:
    """Split at commas outside quotes and brackets; where brackets do not pair up they are part of names."""
    items, start, depth, position, fresh = [], 0, 0, 0, True
    paired = _pairs_up(body)
    while position < len(body):
        mark = body[position]
        quoted = _QUOTED.match(body, position) if fresh and mark in "'\"" else None
        if quoted:
            position = quoted.end()
            fresh = False
            continue
        depth += paired * ((mark in _OPENING) - (mark in _CLOSING))
        if mark == "," and depth == 0:
            items.append(body[start:position])
            start = position + 1
        fresh = mark in ",:[{" or (fresh and mark.isspace())
        position += 1
    items = [item.strip() for item in [*items, body[start:]]]
    return [] if items == [""] else items


def _pairs_up(body: str) -> bool:
    """Tell whether every bracket that opens is closed by one of its kind."""
    open_ones: list[str] = []
    for mark in body:
        if mark in _OPENING:
            open_ones.append(mark)
        elif mark in _CLOSING and (not open_ones or _OPENING.index(open_ones.pop()) != _CLOSING.index(mark)):
            return False
    return not open_ones


def _grid(value: str, hint: Any) -> str:
    """Values of a grid; functions such as ``range(1,4)`` and mappings are Hydra's to read."""
    if _FUNCTION.fullmatch(value.strip()) or "{" in value:
        return value
    choices: Sequence[Any] = [_read(item, hint) for item in _split(value)] or [""]
    return ",".join(_for_hydra(choice) for choice in choices)


def _for_hydra(value: Any) -> str:
    """Write a value in Hydra's grammar, text in quotes."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_for_hydra, value))}]"
    return QuotedString(value, Quote.single).with_quotes() if isinstance(value, str) else str(value)
