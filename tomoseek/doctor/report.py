"""``doctor.html``: what was found, for people: what to do first, a table of the runs, and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from tomoseek.doctor.examination import Examined
from tomoseek.doctor.findings import MOST_TOLD, Finding, Level, count, kinds
from tomoseek.doctor.picture import draw_run
from tomoseek.doctor.probe import HOW_FORECAST, Step, spoken
from tomoseek.files import atomic_write_text
from tomoseek.messages import listed
from tomoseek.page import Picture, figure, fill_page, section, table, tile

PAGE = "doctor.html"
MARKS = {Level.problem: "problem", Level.warning: "warning", Level.fine: "ok"}


@dataclass(slots=True)
class RunReport:
    """What the page shows of a run, and its picks by object, user and session; the tomogram is no longer in memory."""

    name: str
    findings: list[Finding]
    num_picks: dict[tuple[str, str, str], int]
    picture: Picture | None
    size: tuple[tuple[int, int, int], float] | None


@dataclass(slots=True)
class Report:
    """What goes on the page, gathered run by run.

    Parameters
    ----------
    general
        Findings about the machine and the project.
    runs
        Those examined so far.
    first_drawn, most_drawn
        So many runs are pictured anyway, and so many at most, when something is wrong with them.
    """

    general: list[Finding] = field(default_factory=list)
    runs: list[RunReport] = field(default_factory=list)
    first_drawn: int = 20
    most_drawn: int = 100

    @property
    def everything(self) -> list[Finding]:
        """All findings."""
        return [*self.general, *(finding for run in self.runs for finding in run.findings)]

    @property
    def sizes(self) -> list[tuple[tuple[int, int, int], float]]:
        """Shape z y x in voxels and voxel spacing in Å of each tomogram that could be opened."""
        return [run.size for run in self.runs if run.size is not None]

    def add(self, seen: Examined, radii: Mapping[str, float]) -> None:
        """Add a run; with a picture, if it is one of the first or something is wrong with it."""
        num_drawn = sum(run.picture is not None for run in self.runs)
        wrong = any(finding.level is not Level.fine for finding in seen.findings)
        drawn = len(self.runs) < self.first_drawn or (wrong and num_drawn < self.most_drawn)
        num_picks = {picks[:3]: len(picks.points_xyz) for picks in seen.picks}
        picture = draw_run(seen, radii) if drawn else None
        size = (seen.tomogram.shape, seen.tomogram.voxel_spacing) if seen.tomogram is not None else None
        self.runs.append(RunReport(seen.name, seen.findings, num_picks, picture, size))

    def write(self, out_dir: Path, subject: str, steps: Sequence[Step] = ()) -> Path:
        """Write the page.

        Parameters
        ----------
        out_dir
            Created when missing.
        subject
            What was examined, in words.
        steps
            What the next commands will take; empty when that was not measured.
        """
        problems, warnings = (count(self.everything, level) for level in (Level.problem, Level.warning))
        sections = [section("What to look at first", complaints(self.everything))]
        if self.runs:
            sections.append(section("The tomograms", run_table(self.runs)))
        if steps:
            sections.append(section("How long the next steps will take", forecast_table(steps)))
        known = [finding for finding in self.general if finding.check != "forecast"]
        sections.append(section("Machine and project", "".join(map(line, known))))
        sections += [section(escape(run.name), pictured(run)) for run in self.runs if run.picture is not None]
        drawn = sum(run.picture is not None for run in self.runs)
        footer = []
        if drawn < len(self.runs):
            footer.append(
                f"{drawn} of {len(self.runs)} runs are pictured: the first {self.first_drawn}, and those with a "
                f"problem or a warning, at most {self.most_drawn} together. doctor.json has the findings of all."
            )
        page = fill_page(
            title="Is everything in order?",
            subtitle=f"What python -m tomoseek doctor found: {subject}.",
            tiles=[
                tile(str(problems), "problem" if problems == 1 else "problems", "commands stop there"),
                tile(str(warnings), "warning" if warnings == 1 else "warnings", "commands go on: does it matter?"),
                tile(str(len(self.runs)), "tomogram" if len(self.runs) == 1 else "tomograms", "read to the last voxel"),
            ],
            sections=sections,
            footer=footer,
        )  # fmt: skip
        atomic_write_text(out_dir / PAGE, page)
        return out_dir / PAGE


def line(finding: Finding, with_run: bool = True) -> str:
    """A finding, with its level as a mark."""
    mark = MARKS[finding.level]
    run = f"<b>{escape(finding.run)}</b>: " if finding.run and with_run else ""
    return f'<p class="finding"><span class="{mark}">{mark}</span> {run}{escape(finding.text)}</p>'


def complaints(findings: Sequence[Finding]) -> str:
    """Problems, then warnings, of each kind the first few; or that there are none."""
    parts = []
    for level in (Level.problem, Level.warning):
        for same in kinds(findings, level):
            parts += [line(finding) for finding in same[:MOST_TOLD]]
            if rest := same[MOST_TOLD:]:
                runs = listed(dict.fromkeys(finding.run for finding in rest if finding.run))
                parts.append(f'<p class="note">{escape(same[0].check)}: {len(rest)} more, in {escape(runs)}</p>')
    return "".join(parts) or "<p>Nothing: no problem, no warning.</p>"


def run_table(runs: Sequence[RunReport]) -> str:
    """One line per run: its size, its picks, and what is wrong, in a word or two."""
    rows = []
    for run in runs:
        shape = next((finding.text for finding in run.findings if finding.check == "shape"), "not read")
        wrong = dict.fromkeys(finding.check for finding in run.findings if finding.level is not Level.fine)
        size, _, spacing = shape.replace(" voxels (z y x)", "").partition(" at ")
        rows.append([run.name, size, spacing, str(sum(run.num_picks.values())), ", ".join(wrong) or "in order"])
    return table(["tomogram", "voxels z y x", "voxel size", "picks", "to look at"], rows)


def pictured(run: RunReport) -> str:
    """A picture of a run, under what was found of it, the worst first."""
    assert run.picture is not None
    order = list(MARKS)
    findings = sorted(run.findings, key=lambda finding: order.index(finding.level))
    return "".join(line(finding, with_run=False) for finding in findings) + figure(run.picture)


def forecast_table(steps: Sequence[Step]) -> str:
    """Time, memory and disk of the next steps, and what these figures rest on."""
    rows = [
        [step.command, spoken(step.seconds), f"{step.memory_gb:.1f} GB", f"{step.disk_gb:.2g} GB", step.what]
        for step in steps
    ]
    head = ["command", "time", "memory at most", "disk", "of what"]
    return f"<p>{escape(HOW_FORECAST)}</p>{table(head, rows)}"
