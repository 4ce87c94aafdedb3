"""What is compared: a command that trains, its extra words, and what a step of it costs."""

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.picker.peers.projects import CLASSES, Project
from tomoseek.demo.plan import bracket
from tomoseek.files import atomic_write_json

OURS, SHIPPED = "ours", "shipped"
# Name to what trains it (ours, or one of `NETWORKS`) and words of its own.
KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    OURS: (OURS, ()),
    SHIPPED: (OURS, ("checkpoint=shipped", "learning_rate=5e-4")),  # with no label: as it comes
    # From scratch the encoder has to learn as fast as the decoder.
    "scratch": (OURS, ("encoder=random-small", "encoder_learning_rate_scale=1.0")),
    "unet": ("unet", ("learning_rate=1e-3",)),  # the best of 5e-3, 2e-3, 1e-3 and 5e-4 on development
    "octopi": ("octopi", ()),
    "segresnet": ("segresnet", ()),
    "segresnet16": ("segresnet16", ()),
}
FEW_STEPS, MANY_STEPS = 3, 23
# Words that change nothing about the cost of a step; the shipped encoder is of the small size.
FREE = re.compile(
    r"encoder=random-small|checkpoint=shipped|(encoder_)?learning_rate|weight_decay|ema_decay|positive_weight|confusion_weight|sigma_factor|"
    r"seed"
)


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table: its name, what trains it, ``key=value`` words on top of the defaults."""

    name: str
    network: str
    words: tuple[str, ...]

    @property
    def slug(self) -> str:
        """Its name as part of a file name; Hydra would stumble over an equals sign."""
        return re.sub(r"[^\w.+-]+", "_", self.name)

    def command(self, config: Path, project: Project, labels: int, seed: int, steps: int, folder: Path) -> list[str]:
        """Return the module and the words that train it on one thread."""
        thresholds = project.runs("thresholds")
        module = ["finetune", "train"] if self.network == OURS else ["benchmarks.picker.peers.peer", self.network]
        return [
            *module, f"data.project={config}", f"data.runs={bracket(project.training_runs(labels, seed) + thresholds)}",
            f"validation_runs={bracket(thresholds)}", f"classes={bracket(list(CLASSES))}", f"out_dir={folder}",
            f"num_steps={steps}", f"warmup_steps={max(2, steps // 10)}", f"seed={seed}", "device=cpu", "resume=false",
            *self.words,
        ]  # fmt: skip


def parse_method(text: str) -> Method:
    """Read ``ours``, ``ours:unfreeze=none`` or ``frozen=ours:unfreeze=none,seed=3``.

    The words behind the colon go to the training command; commas within brackets or braces do not part them. Before
    ``=`` stands a name for the table; without one it is the whole text.
    """
    head, _, rest = text.partition(":")
    name, _, known = head.rpartition("=")
    if known not in KNOWN:
        raise SystemExit(f"--methods: expected one of {', '.join(KNOWN)}, found '{known}' in '{text}'")
    network, words = KNOWN[known]
    more = [word for word in re.split(r",(?![^\[{]*[\]}])", rest) if word]
    return Method(name or text, network, (*words, *more))


def train(command: list[str]) -> float:
    """Run ``python -m <command>`` on one thread and return the processor time it took, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("$ python -m", *command, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *command], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def step_cost(method: Method, project: Project, out: Path) -> float:
    """Return processor seconds of a training step, from two runs of different length; measured once."""
    path = out / "costs.json"
    costs: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    key = " ".join([method.network, *(word for word in method.words if not FREE.match(word))])
    if key not in costs:
        folder, config = out / "costs" / method.slug, project.config(out)
        few, many = (train(method.command(config, project, 1, 0, steps, folder)) for steps in (FEW_STEPS, MANY_STEPS))
        costs = json.loads(path.read_text()) if path.exists() else {}
        costs[key] = round((many - few) / (MANY_STEPS - FEW_STEPS), 4)
        atomic_write_json(path, costs)
    return costs[key]
