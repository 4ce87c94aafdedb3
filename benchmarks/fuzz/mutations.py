"""Small damages to bytes, JSON and tables, drawn by a seeded generator."""

import copy
import json
import re
import struct
from collections.abc import Callable
from random import Random
from typing import Any

ODD_INTEGERS = (0, 1, -1, 2, 3, 7, 255, 256, 10_000, 65_536, 2**31 - 1, -(2**31), 2**31, 2**40, 10**12, 2**63, -(2**63))
ODD_FLOATS = (0.0, -0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"))
ODD_TEXTS = (
    "", " ", "0", "-1", "nan", "inf", "1e400", "1_000", "0x10", "9" * 25, "NA", "true", "null", "None", "..", "/", "~",
    "a b", "a,b", "a;b", "a\tb", "a/b", "'", '"', "#", "_", "data_", "loop_", "Å", "\ufeff", "\x00", "\n", "\r", "%s",
    "{}", "[1, 2]", "x" * 300, "http://[", "s3://", "local://", "file://", "none://x", "zlib", "<f8", "|O", ">i2",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (*ODD_INTEGERS, *ODD_FLOATS, *ODD_TEXTS, None, True, False, [], {}, [None], {"a": {}})
MOST = 3  # damages of one file


def damage_bytes(data: bytes, random: Random) -> bytes:
    """Change words, bits and lengths of a binary file."""
    return _several(data, random, _WORDS)


def damage_text(data: bytes, random: Random) -> bytes:
    """Change words, lines and letters of a table; seldom its bytes."""
    return _several(data, random, (*_TEXT, *_TEXT, _flip_bit, _cut_off))


def damage_json(data: bytes, random: Random) -> bytes:
    """Change values, keys and lists of a JSON file; seldom its text."""
    if random.random() < 0.15:
        return damage_text(data, random)
    tree = json.loads(data)
    for _ in range(random.randint(1, MOST)):
        tree = _change_node(tree, random)
    return json.dumps(tree).encode()


def damage_safetensors(data: bytes, random: Random) -> bytes:
    """Change the header of a safetensors file: its length, its JSON, or the JSON that its metadata hold as text."""
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = data[8 : 8 + length], data[8 + length :]
    where = random.random()
    if where < 0.2:
        return damage_bytes(data[: 8 + length], random) + rest
    if where < 0.6:
        tree = json.loads(header)
        inner = tree["__metadata__"]
        key = random.choice(sorted(inner))
        inner[key] = damage_json(inner[key].encode(), random).decode(errors="replace")
        header = json.dumps(tree).encode()
    else:
        header = damage_json(header, random)
    if random.random() < 0.1:
        rest = _cut_off(rest, random)
    return struct.pack("<Q", len(header)) + header + rest


def _several(data: bytes, random: Random, ways: tuple[Callable[[bytes, Random], bytes], ...]) -> bytes:
    for _ in range(random.randint(1, MOST)):
        data = random.choice(ways)(data, random)
    return data


def _set_word(data: bytes, random: Random) -> bytes:
    """Put an odd number where a number of two, four or eight bytes may stand."""
    order = random.choice("<<<>")
    kind = random.choice("hiiiiqff")
    size = struct.calcsize(kind)
    value = random.choice(ODD_FLOATS) if kind == "f" else random.choice(ODD_INTEGERS)
    word = struct.pack(order + kind, value if kind == "f" else _wrapped(int(value), 8 * size))
    start = random.randrange(0, max(1, len(data) - size), 2)
    return data[:start] + word + data[start + size :]


def _wrapped(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def _flip_bit(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _put_in(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.randbytes(random.randint(1, 8)) + data[place:]


_WORDS = (_set_word, _set_word, _set_word, _flip_bit, _cut_off, _put_in)


def _change_token(data: bytes, random: Random) -> bytes:
    """Put an odd word in the place of one."""
    tokens = re.split(rb"([\s,;]+)", data)
    tokens[random.randrange(len(tokens))] = _odd_text(random)
    return b"".join(tokens)


def _change_lines(data: bytes, random: Random) -> bytes:
    """Leave a line out, repeat it, or put it elsewhere."""
    lines = data.splitlines(keepends=True) or [b""]
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.randrange(3)):
        lines.insert(random.randint(0, len(lines)), line)
    return b"".join(lines)


def _put_in_text(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + _odd_text(random) + data[place:]


def _odd_text(random: Random) -> bytes:
    return random.choice(ODD_TEXTS).encode(random.choice(("utf-8", "utf-8", "latin-1", "utf-16")), "replace")


_TEXT = (_change_token, _change_lines, _put_in_text)


def _change_node(tree: Any, random: Random) -> Any:
    """Replace, remove, rename or repeat one node of a JSON tree."""
    inner = [node for node in _nodes(tree) if node and isinstance(node, dict | list)]
    if not inner or random.random() < 0.03:
        return copy.deepcopy(random.choice(ODD_VALUES))
    node = random.choice(inner)
    key: Any = random.choice(sorted(node)) if isinstance(node, dict) else random.randrange(len(node))
    way = random.random()
    if way < 0.6:
        node[key] = copy.deepcopy(random.choice(ODD_VALUES))
    elif way < 0.8:
        del node[key]
    elif isinstance(node, dict):
        node[random.choice((*ODD_TEXTS, key + "x"))] = node.pop(key)
    else:
        node.insert(key, node[key])
    return tree


def _nodes(tree: Any) -> list[Any]:
    """List a tree and all that is in it."""
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [tree, *(node for each in below for node in _nodes(each))]
