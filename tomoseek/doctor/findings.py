"""What the doctor says: findings, and how many of them are told one by one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from tomoseek.messages import listed

MOST_TOLD = 5  # runs with the same kind of finding that are told one by one


class Level(Enum):
    """How a finding is marked in the report."""

    fine = "ok"
    warning = "warning"
    problem = "PROBLEM"


class Finding(NamedTuple):
    """One thing found.

    Parameters
    ----------
    level
        Fine, a warning, or a problem that stops other commands.
    check
        Which kind of thing was looked at, in a word or two; findings of one kind are counted together.
    text
        In plain words: what was found and what to do.
    run
        Which run it is about; None: all of them, or the machine.
    numbers
        What was measured, for machines.
    """

    level: Level
    check: str
    text: str
    run: str | None = None
    numbers: dict[str, Any] | None = None

    @property
    def line(self) -> str:
        """The finding as it is printed; it names its run."""
        run = f"{self.run}: " if self.run and self.run not in self.text else ""
        return f"{self.level.value:<7}  {run}{self.text}"


def summary(findings: Sequence[Finding]) -> list[str]:
    """Tell the findings of many runs in few lines: of each kind the first ones, and in which runs there are more.

    Parameters
    ----------
    findings
        Of any number of runs; what is fine is only counted.

    Returns
    -------
    Lines; problems first.
    """
    lines = []
    for level in (Level.problem, Level.warning):
        for same in kinds(findings, level):
            lines += [finding.line for finding in same[:MOST_TOLD]]
            if rest := same[MOST_TOLD:]:
                runs = dict.fromkeys(finding.run for finding in rest if finding.run)
                more = f"{same[0].check}: {len(rest)} more in {len(runs)} runs: {listed(runs)}"
                lines.append(f"{level.value:<7}  {more}")
    return lines


def kinds(findings: Iterable[Finding], level: Level) -> list[list[Finding]]:
    """Findings of a level, those of one kind together."""
    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.level is level:
            by_check[finding.check].append(finding)
    return list(by_check.values())


def count(findings: Iterable[Finding], level: Level) -> int:
    """Number of findings of a level."""
    return sum(finding.level is level for finding in findings)
