"""The parts of a trial: commands as a user would type them, in the sizes of a GPU or tiny ones."""

from dataclasses import dataclass
from pathlib import Path

from tomoseek.complexes import CHALLENGE
from tomoseek.demo.plan import bracket
from tomoseek.demo.stages import Stage

LARGE, LABELLED, SOUGHT = "large_000", ("labelled_000", "labelled_001"), "virus-like-particle"
MASKED, METRIC, FINETUNE = "pretrain_masked", "pretrain_metric", "finetune"
WORK = "work.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large everything is.

    Attributes
    ----------
    volume, labelled
        Voxels z y x of the tomogram that is picked and searched, and of two to learn from.
    counts
        Particles of each complex in the large one; the labelled ones hold eight.
    tests
        Where the tests marked ``gpu`` are looked for.
    pretrain, masked, metric, finetune, predict, embed
        ``key=value`` words of the commands; those of ``pretrain`` are for both stages.
    """

    volume: tuple[int, int, int]
    labelled: tuple[int, int, int]
    counts: int
    tests: str
    pretrain: tuple[str, ...]
    masked: tuple[str, ...]
    metric: tuple[str, ...]
    finetune: tuple[str, ...]
    predict: tuple[str, ...]
    embed: tuple[str, ...]


FULL = Sizes(
    volume=(184, 630, 630), labelled=(64, 256, 256), counts=60, tests="tests",
    pretrain=("model=base", "batch_size=64", "log_every=5"), masked=("num_steps=80",),
    metric=("num_steps=40", "metric.pool=4", "metric.calibrate=false"),
    finetune=("num_steps=150", "batch_size=16", "crops.size=[96,96,96]", "log_every=5"),
    predict=("detect.batch_size=4",), embed=("batch_size=8",),
)  # fmt: skip
TINY = Sizes(
    volume=(32, 64, 64), labelled=(32, 64, 64), counts=1, tests="tests/test_gpu.py",
    pretrain=("model=tiny", "batch_size=2", "crop=32", "warmup_steps=1", "log_every=1"), masked=("num_steps=3",),
    metric=(
        "num_steps=3", "metric.pool=1", "metric.scene=[32,64,64]", "metric.classes_per_scene=3",
        "metric.calibrate=false",
    ),
    finetune=("num_steps=3", "batch_size=1", "crops.size=[32,32,32]", "log_every=1", "encoder=random-tiny"),
    predict=("detect.tile=[32,32,32]", "detect.overlap=8"), embed=("tile=32", "overlap=8", "encoder=random-tiny"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Where everything goes, how large it is, and on which device."""

    folder: Path
    sizes: Sizes
    device: str

    @property
    def data(self) -> str:
        """The word that names the project."""
        return f"data.project={self.folder / 'project' / 'copick.json'}"

    @property
    def examples(self) -> Path:
        """Where the examples of the search are."""
        return self.folder / "examples.csv"

    def pretrain_words(self, name: str) -> tuple[str, ...]:
        """Return the words of a stage of pretraining, but for where it writes."""
        device = f"device={self.device}"
        if name == METRIC:
            return ("stage=metric", *self.sizes.pretrain, *self.sizes.metric, device)
        halves = (self.data, f"data.runs={bracket(list(LABELLED))}", "half_types=[wbp-even,wbp-odd]")
        return ("stage=masked", *halves, *self.sizes.pretrain, *self.sizes.masked, device)

    def finetune_words(self) -> tuple[str, ...]:
        """Return the words of training a picker."""
        runs = f"data.runs={bracket(list(LABELLED))}"
        return (self.data, runs, f"out_dir={self.folder / FINETUNE}", f"device={self.device}", *self.sizes.finetune)

    def parts(self) -> list[Stage]:
        """List the parts in order."""
        folder, sizes, device = self.folder, self.sizes, f"device={self.device}"
        large = f"data.runs={bracket([LARGE])}"
        index = f"index={folder / 'index'}"

        def simulate(prefix: str, num_runs: int, size: tuple[int, ...], counts: int) -> tuple[str, ...]:
            words = (f"out_dir={folder / 'project'}", f"prefix={prefix}_", f"num_runs={num_runs}", f"counts={counts}")
            what = f"complexes={bracket(list(CHALLENGE))}"
            return ("python", "-m", "tomoseek", "simulate", *words, f"size={bracket(list(size))}", what, device)

        def pretrain(name: str) -> Stage:
            words = (*self.pretrain_words(name), f"out_dir={folder / name}")
            return Stage(
                name=name, purpose="a short pretraining on one process", outputs=(folder / name,), needs=("simulate",),
                commands=(("accelerate", "launch", "--num_processes", "1", "-m", "pretrain", *words),),
            )  # fmt: skip

        work = ("--device", self.device, "--out", str(folder / WORK), *(("--tiny",) if sizes is TINY else ()))
        tests = ("python", "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", sizes.tests)
        return [
            Stage(name="tests", purpose="the tests that need a GPU", commands=(tests,), outputs=()),
            Stage(
                name="simulate", purpose="a large tomogram, and two small ones with labels",
                commands=(
                    simulate("large", 1, sizes.volume, sizes.counts),
                    simulate("labelled", len(LABELLED), sizes.labelled, 8),
                ),
                outputs=(folder / "project",),
            ),
            Stage(
                name="work", purpose="what the device can do, and what is asked of it",
                commands=(("python", "-m", "benchmarks.gpu.work", "--folder", str(folder), *work),),
                outputs=(folder / WORK,), needs=("simulate",),
            ),
            pretrain(MASKED),
            pretrain(METRIC),
            Stage(
                name=FINETUNE, purpose="a picker", outputs=(folder / FINETUNE,), needs=("simulate",),
                commands=(("python", "-m", "finetune", "train", *self.finetune_words()),),
            ),
            Stage(
                name="predict", purpose="picks in the large tomogram", outputs=(folder / "predict",), needs=(FINETUNE,),
                commands=(
                    ("python", "-m", "finetune", "predict", self.data, large, f"checkpoint={folder / FINETUNE}",
                     f"out_dir={folder / 'predict'}", device, *sizes.predict),
                ),
            ),
            Stage(
                name="embed", purpose="the large tomogram embedded", outputs=(folder / "index",), needs=("simulate",),
                commands=(("python", "-m", "embed", "build", self.data, large, index, device, *sizes.embed),),
            ),
            Stage(
                name="query", purpose="a search from examples; it runs on the CPU", outputs=(folder / "search",),
                needs=("embed",),
                commands=(
                    ("python", "-m", "embed", "query", self.data, large, index, f"examples={self.examples}",
                     f"name={SOUGHT}", f"out_dir={folder / 'search'}"),
                ),
            ),
        ]  # fmt: skip
