"""Settings of the demo, and the commands that they amount to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.demo.stages import Stage
from tomoseek.errors import InputError

SEARCHES = {"search": "search", "structure": "search-structure", "random_init": "search-random"}


@dataclass(kw_only=True, slots=True)
class SimulateSettings:
    """How many tomograms, how large, how full."""

    num_train_runs: int
    num_test_runs: int
    size: list[int]
    counts: int
    words: list[str]


@dataclass(kw_only=True, slots=True)
class TrainSettings:
    """Length of a training stage, and further ``key=value`` words for its command."""

    num_steps: int
    words: list[str]


@dataclass(kw_only=True, slots=True)
class WordSettings:
    """Further ``key=value`` words for a command."""

    words: list[str]


@dataclass(kw_only=True, slots=True)
class DemoConfig:
    """Settings of the demo (``configs/demo.yaml`` documents each)."""

    out_dir: str
    device: str
    seed: int
    encoder_size: str
    encoder: str | None
    new_class: str
    shots: int
    simulate: SimulateSettings
    masked: TrainSettings
    metric: TrainSettings
    finetune: TrainSettings
    predict: WordSettings
    embed: WordSettings
    query: WordSettings
    montage: int

    def __post_init__(self) -> None:
        if self.new_class not in COMPLEXES or self.new_class in CHALLENGE:
            known = ", ".join(name for name in COMPLEXES if name not in CHALLENGE)
            raise InputError(
                f"new_class: expected a built-in complex that is not trained on ({known}), found '{self.new_class}'"
            )
        if self.simulate.num_train_runs < 2 or self.simulate.num_test_runs < 2:
            raise InputError(
                "simulate: expected at least 2 train runs (one chooses thresholds) and 2 test runs (one "
                f"gives the examples), found {self.simulate.num_train_runs} and {self.simulate.num_test_runs}"
            )

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.out_dir)

    @property
    def project(self) -> Path:
        """The copick project."""
        return self.folder / "project" / "copick.json"

    @property
    def train_runs(self) -> list[str]:
        """Runs with labels to learn from."""
        return [f"train_{index:03d}" for index in range(self.simulate.num_train_runs)]

    @property
    def test_runs(self) -> list[str]:
        """Runs that only serve to measure."""
        return [f"test_{index:03d}" for index in range(self.simulate.num_test_runs)]


def plan(config: DemoConfig) -> list[Stage]:
    """List the stages with their commands, in order."""
    out = config.folder
    project, data = config.project.parent, f"data.project={config.project}"
    train, test = (f"data.runs={bracket(runs)}" for runs in (config.train_runs, config.test_runs))
    device, seed = f"device={config.device}", f"seed={config.seed}"
    masked, metric, decoder = out / "pretrain_masked", out / "pretrain_metric", out / "finetune"
    encoder = config.encoder or str(metric)
    known, checkpoint = f"classes={bracket(list(CHALLENGE))}", f"checkpoint={decoder}"

    def simulate(prefix: str, num_runs: int, complexes: list[str], seed: int) -> tuple[str, ...]:
        settings = config.simulate
        return (
            "python", "-m", "tomoseek", "simulate", f"out_dir={project}", f"prefix={prefix}",
            f"num_runs={num_runs}", f"size={bracket(settings.size)}", f"complexes={bracket(complexes)}",
            f"counts={settings.counts}", f"seed={seed}", device, *settings.words,
        )  # fmt: skip

    def pretrain(stage: str, settings: TrainSettings, *words: str) -> tuple[str, ...]:
        words = (f"stage={stage}", *words, f"model={config.encoder_size}", f"num_steps={settings.num_steps}")
        return ("accelerate", "launch", "-m", "pretrain", *words, device, seed, *settings.words)

    def build(index: Path, weights: str) -> tuple[str, ...]:
        words = (data, test, f"encoder={weights}", f"index={index}", device)
        return ("python", "-m", "embed", "build", *words, *config.embed.words)

    def search(index: Path, session: str, out_dir: Path, known_by: str) -> tuple[tuple[str, ...], ...]:
        name, radius = config.new_class, COMPLEXES[config.new_class].radius_angstrom
        what = (known_by, f"name={name}", f"radius={radius:g}")
        place = (f"picks.session_id={session}", f"out_dir={out_dir}")
        others = f"exclude_runs={bracket(config.test_runs[:1])}"
        return (
            ("python", "-m", "embed", "query", data, test, f"index={index}", *what, *place, *config.query.words),
            ("python", "-m", "finetune", "evaluate", data, test, f"classes={bracket([name])}", others, *place,
             "figures=false"),
        )  # fmt: skip

    clicked = f"examples={out / 'examples.csv'}"
    stages = [
        Stage(
            name="simulate",
            purpose="make tomograms with known particles, to learn from and to test on",
            commands=(
                simulate("train_", len(config.train_runs), list(CHALLENGE), config.seed),
                simulate("test_", len(config.test_runs), [*CHALLENGE, config.new_class], config.seed + 1000),
            ),
            outputs=(project,),
        )
    ]
    if config.encoder is None:
        stages += [
            Stage(
                name="pretrain_masked",
                purpose="learn from unlabeled tomograms by rebuilding hidden parts of them",
                commands=(pretrain("masked", config.masked, data, train, f"out_dir={masked}"),),
                outputs=(masked,),
                needs=("simulate",),
            ),
            Stage(
                name="pretrain_metric",
                purpose="learn to tell complexes apart, on a stream of random assemblies",
                commands=(pretrain("metric", config.metric, f"encoder={masked}", f"out_dir={metric}"),),
                outputs=(metric,),
                needs=("pretrain_masked",),
            ),
        ]
    return [
        *stages,
        Stage(
            name="finetune",
            purpose="fit a decoder that picks the six labelled complexes",
            commands=(
                ("python", "-m", "finetune", "train", data, train, known, f"encoder={encoder}",
                 f"out_dir={decoder}", f"num_steps={config.finetune.num_steps}", device, seed,
                 *config.finetune.words),
            ),
            outputs=(decoder,),
            needs=("simulate", "pretrain_metric"),
        ),
        Stage(
            name="predict",
            purpose="pick them in the test tomograms, which no stage has seen",
            commands=(
                ("python", "-m", "finetune", "predict", data, test, checkpoint,
                 f"out_dir={out / 'predict'}", device, *config.predict.words),
            ),
            outputs=(out / "predict",),
            needs=("finetune",),
        ),
        Stage(
            name="evaluate",
            purpose="score the picks against the truth by the rule of the CZII challenge",
            commands=(
                ("python", "-m", "finetune", "evaluate", data, test,
                 f"candidates={out / 'predict'}", f"out_dir={out / 'predict'}"),
            ),
            outputs=(out / "predict" / "evaluation.json",),
            needs=("predict",),
        ),
        Stage(
            name="embed_build",
            purpose="turn every place of the test tomograms into a searchable vector",
            commands=(build(out / "index", encoder),),
            outputs=(out / "index",),
            needs=("simulate", "pretrain_metric"),
        ),
        Stage(
            name="search",
            purpose=f"find {config.new_class}, a complex never trained on, from {config.shots} examples",
            commands=search(out / "index", SEARCHES["search"], out / "search", clicked),
            outputs=(out / "search",),
            needs=("embed_build",),
        ),
        Stage(
            name="structure",
            purpose=f"find {config.new_class} without any example, from its structure alone",
            commands=search(
                out / "index", SEARCHES["structure"], out / "search_structure", f"structure={config.new_class}"
            ),
            outputs=(out / "search_structure",),
            needs=("embed_build",),
        ),
        Stage(
            name="random_init",
            purpose="the control: the same search with an encoder that has learned nothing",
            commands=(
                build(out / "index_random", f"random-{config.encoder_size}"),
                *search(out / "index_random", SEARCHES["random_init"], out / "search_random", clicked),
            ),
            outputs=(out / "index_random", out / "search_random"),
            needs=("simulate",),
        ),
    ]  # fmt: skip


def bracket(values: list[Any]) -> str:
    """``[1, 2]`` -> ``[1,2]``, as Hydra reads a list on a command line."""
    return "[" + ",".join(str(value) for value in values) + "]"
