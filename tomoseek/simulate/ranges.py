"""What is drawn once per run, from pairs ``[low, high]``."""

import torch


def draw(pair: list[float], generator: torch.Generator) -> float:
    """Draw evenly between low and high."""
    return pair[0] + (pair[1] - pair[0]) * float(torch.rand((), generator=generator))


def draw_if_open(pair: list[float], generator: torch.Generator) -> float:
    """Draw evenly between low and high; nothing is drawn, and later draws stay as they are, where both are one."""
    return pair[0] if pair[0] == pair[1] else draw(pair, generator)


def takes_part(share: float, generator: torch.Generator) -> bool:
    """Draw whether a run goes through a step that a share of all does; nothing is drawn where none does."""
    return share > 0 and float(torch.rand((), generator=generator)) < share


def draw_count(pair: list[int], generator: torch.Generator) -> int:
    """Draw a whole number from low to high, both included."""
    return int(torch.randint(pair[0], pair[1] + 1, (), generator=generator))
