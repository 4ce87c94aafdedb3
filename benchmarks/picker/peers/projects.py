"""The tomograms: dim ones of five challenge complexes among smaller proteins, membranes and gold; a shifted set;
and others for development, where settings may be chosen.

Defocus, thickness of the ice, signal to noise and dose are drawn once per run.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.known_tomograms import CLUTTER, CLUTTER_PER_CLASS
from tomoseek.demo.plan import bracket

CLASSES = ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle")
PER_CLASS = 12
SIZE = "[96,256,256]"
DIM = ("microscope.snr=[0.02,0.1]", "ice.vesicles=[1,2]", "ice.gold_beads=[1,3]")
SHIFTED = (
    "microscope.snr=[0.015,0.03]", "microscope.defocus_um=[6,8]", "ice.thickness_angstrom=[1900,1900]",
    "ice.vesicles=[1,2]", "ice.gold_beads=[1,3]",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Project:
    """A simulated copick project and what its runs are for, in order.

    Attributes
    ----------
    name
        Folder, and the prefix of its runs.
    seed
        Of the simulation.
    parts
        Purpose to number of runs.
    words
        How it is imaged.
    """

    name: str
    seed: int
    parts: dict[str, int]
    words: tuple[str, ...] = DIM

    def runs(self, part: str) -> list[str]:
        """Names of the runs of one part."""
        first = 0
        for name, count in self.parts.items():
            if name == part:
                return [f"{self.name}_{index:03d}" for index in range(first, first + count)]
            first += count
        return []

    def config(self, out: Path) -> Path:
        """Path of its copick config below ``out``."""
        return out / "projects" / self.name / "copick.json"

    def training_runs(self, num_labelled: int, seed: int) -> list[str]:
        """Return the labelled runs of a seed; seeds take different ones as far as there are any."""
        runs = self.runs("training")
        if not 1 <= num_labelled <= len(runs):
            raise SystemExit(f"--labels: expected 1 to {len(runs)} in project {self.name}, found {num_labelled}")
        first = seed * max(1, len(runs) // 3)
        return [runs[(first + k) % len(runs)] for k in range(num_labelled)]

    def simulate(self, out: Path, maps: Path) -> None:
        """Simulate what is not there yet."""
        clutter = ",".join(f"{name}: {CLUTTER_PER_CLASS}" for name in CLUTTER)
        words = [
            f"out_dir={self.config(out).parent}", f"prefix={self.name}_", f"num_runs={sum(self.parts.values())}",
            f"size={SIZE}", f"complexes={bracket([*CLASSES, *CLUTTER])}", f"counts={PER_CLASS}",
            f"counts_of={{{clutter}}}", f"maps_folder={maps}", f"seed={self.seed}", "device=cpu", *self.words,
        ]  # fmt: skip
        subprocess.run([sys.executable, "-m", "tomoseek", "simulate", *words], check=True)


PROJECTS = {
    project.name: project
    for project in (
        Project("main", 4101, {"training": 6, "thresholds": 1, "test": 4}),
        Project("shifted", 4102, {"test": 3}, SHIFTED),
        Project("development", 4103, {"training": 2, "thresholds": 1, "test": 2}),
    )
}
# Where a picker that learned in a project is scored: table heading to project.
SCORED_ON = {"main": {"test": "main", "shifted": "shifted"}, "development": {"test": "development"}}
