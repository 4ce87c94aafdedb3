"""``python -m tomoseek doctor``: what this machine has, and whether tomograms and picks are what they are taken for."""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomoseek.config import DataConfig
from tomoseek.doctor.examination import examine
from tomoseek.doctor.findings import Finding, Level, count, summary
from tomoseek.doctor.machine import check_machine
from tomoseek.doctor.record import write_record
from tomoseek.doctor.subjects import Subjects
from tomoseek.running import progress

MOST_PRINTED = 8  # runs of which every line is printed; of more, a summary


@dataclass(kw_only=True, slots=True)
class DoctorConfig:
    """Settings of ``configs/doctor.yaml``."""

    data: DataConfig
    tomogram: Any  # a file, or a list of them
    out_dir: str


def run(config: DoctorConfig) -> None:
    """Print what is found, write the report, and leave with exit code 2 when there is a problem."""
    findings: list[Finding] = []

    def tell(found: Iterable[Finding], aloud: bool = True) -> None:
        for finding in found:
            findings.append(finding)
            if aloud:
                print(f"  {finding.line}", flush=True)

    print("Machine")
    tell(check_machine())
    print("Data")
    subjects = Subjects(config.data, config.tomogram)
    tell(subjects.findings())
    totals: Counter[tuple[str, str, str]] = Counter()
    runs: Counter[tuple[str, str, str]] = Counter()
    names = subjects.names
    aloud = len(names) <= MOST_PRINTED
    for name in names if aloud else progress(names, "runs", "run"):
        seen = examine(subjects, name)
        tell(seen.findings, aloud)
        for picks in seen.picks:
            totals[picks[:3]] += len(picks.points_xyz)
            runs[picks[:3]] += 1
    if not aloud:
        print("\n".join(f"  {line}" for line in summary(item for item in findings if item.run)))
    tell(
        Finding(
            Level.fine, "picks", f"picks of {name} by {user}, session {session}: {total} in "
            f"{runs[name, user, session]} runs",
        )
        for (name, user, session), total in sorted(totals.items())
    )  # fmt: skip
    if subjects.root is not None and not totals:
        tell([Finding(Level.fine, "picks", "no picks yet")])
    settings = {
        "project": config.data.project, "runs": config.data.runs, "tomogram": config.tomogram,
        "tomogram_type": config.data.tomogram_type, "voxel_spacing": config.data.voxel_spacing,
        "polarity": config.data.polarity.value,
    }  # fmt: skip
    print(f"wrote {write_record(Path(config.out_dir), findings, settings)}")
    if num_problems := count(findings, Level.problem):
        print(f"{num_problems} problem{'s' if num_problems > 1 else ''} to solve first")
        sys.exit(2)
    print("No problem found")
