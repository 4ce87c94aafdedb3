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
from tomoseek.doctor.probe import forecast, tell_steps
from tomoseek.doctor.record import write_record
from tomoseek.doctor.report import Report
from tomoseek.doctor.subjects import Subjects
from tomoseek.messages import listed
from tomoseek.running import progress

MOST_PRINTED = 8  # runs of which every line is printed; of more, a summary
UNKNOWN_RADIUS = 75.0  # Å, at which picks of objects without one are drawn


@dataclass(kw_only=True, slots=True)
class DoctorConfig:
    """Settings of ``configs/doctor.yaml``."""

    data: DataConfig
    tomogram: Any  # a file, or a list of them
    out_dir: str
    probe: bool


def run(config: DoctorConfig) -> None:
    """Print what is found, write page and record, and leave with exit code 2 when there is a problem.

    Raises
    ------
    InputError
        When ``tomogram`` is neither a file nor a list of files.
    """
    report = Report()

    def tell(title: str, findings: Iterable[Finding]) -> None:
        print(title)
        for finding in findings:
            report.general.append(finding)
            print(f"  {finding.line}", flush=True)

    subjects = Subjects(config.data, config.tomogram)
    tell("Machine", check_machine())
    tell("Data", subjects.findings())
    examine_all(subjects, report)
    if subjects.root is not None:
        tell("Picks", count_picks(report))
    out_dir, settings = Path(config.out_dir), describe(config)
    steps = forecast(config.data, report.sizes) if config.probe else []
    if steps:
        tell("Next steps", tell_steps(steps, out_dir))
    everything = report.everything
    print(
        f"wrote {report.write(out_dir, subject(config), steps)} and {write_record(out_dir, everything, settings).name}"
    )
    if num_problems := count(everything, Level.problem):
        print(f"{num_problems} problem{'s' if num_problems > 1 else ''} to solve first")
        sys.exit(2)
    print("No problem found")


def examine_all(subjects: Subjects, report: Report) -> None:
    """Examine every run; print each line of a few runs as it is found, of many a summary at the end."""
    few = len(subjects.names) <= MOST_PRINTED
    for name in subjects.names if few else progress(subjects.names, "runs", "run"):
        seen = examine(subjects, name)
        objects = {picks.object_name for picks in seen.picks}
        report.add(seen, {known: subjects.radius(known) or UNKNOWN_RADIUS for known in objects})
        for finding in seen.findings if few else ():
            print(f"  {finding.line}", flush=True)
    if not few:
        found = [finding for run in report.runs for finding in run.findings]
        print("\n".join(f"  {line}" for line in summary(found)))


def count_picks(report: Report) -> Iterable[Finding]:
    """Report how many picks there are of each object, by whom."""
    totals: Counter[tuple[str, str, str]] = Counter()
    runs: Counter[tuple[str, str, str]] = Counter()
    for run in report.runs:
        totals.update(run.num_picks)
        runs.update(run.num_picks.keys())
    for (name, user, session), total in sorted(totals.items()):
        text = f"picks of {name} by {user}, session {session}: {total} in {runs[name, user, session]} runs"
        yield Finding(Level.fine, "picks", text)
    if not totals:
        yield Finding(Level.fine, "picks", "no picks yet")


def subject(config: DoctorConfig) -> str:
    """Say what was examined."""
    if config.tomogram is not None:
        return listed([config.tomogram] if isinstance(config.tomogram, str) else config.tomogram, 3)
    return f"the project {config.data.project}" if config.data.project else "this machine"


def describe(config: DoctorConfig) -> dict[str, Any]:
    """Return the settings as plain values."""
    data = config.data
    return {
        "project": data.project, "runs": data.runs, "tomogram": config.tomogram, "tomogram_type": data.tomogram_type,
        "voxel_spacing": data.voxel_spacing, "polarity": data.polarity.value,
    }  # fmt: skip
