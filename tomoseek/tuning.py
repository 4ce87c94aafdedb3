"""The table of a sweep's trials: what each was given, what it reached, where it lies."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from tomoseek.files import atomic_write_text

if TYPE_CHECKING:
    import pandas as pd


class Trials(Callback):
    """Hydra callback of a sweep: writes ``trials.csv`` after every trial and prints it, best first, at the end."""

    def __init__(self) -> None:
        self.swept: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of the sweep, in which the sweeper expects to open its study, and find what is swept."""
        self.folder(config).mkdir(parents=True, exist_ok=True)
        ranges = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        self.swept = swept_settings([*ranges, *config.hydra.overrides.task])
        for name in ("hydra", "hydra_plugins"):  # they say at length what we say on one line
            logging.getLogger(name).setLevel(logging.WARNING)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Say which trial begins."""
        settings = " ".join(f"{key}={value}" for key, value in self.settings(config).items())
        print(f"\ntrial {config.hydra.job.num}: {settings}", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Add the trial to the table; one that failed has no value."""
        value = job_return.return_value if job_return.status is JobStatus.COMPLETED else None
        self.rows.append({"trial": config.hydra.job.num, "value": value, **self.settings(config)})
        atomic_write_text(self.folder(config) / "trials.csv", self.table().to_csv(index=False))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table and how to use the best trial."""
        table, folder = self.table(), self.folder(config)
        print(f"\n{table.to_string(index=False, float_format='%.4g', na_rep='failed')}")
        best = table.iloc[0]
        print(f"wrote {folder}/trials.csv; the best trial is checkpoint={folder / str(int(best['trial']))}")
        print("settings: " + " ".join(f"{key}={best[key]}" for key in self.swept))
        print("its value was chosen from all of them and reads high: predict and evaluate on runs no trial has seen")

    def table(self) -> "pd.DataFrame":
        """Return one row per trial, best first, failed ones last."""
        import pandas as pd

        rows = pd.DataFrame(self.rows).astype({"value": float})
        return rows.sort_values("value", ascending=False, kind="stable", na_position="last")

    def settings(self, config: DictConfig) -> dict[str, Any]:
        """Return the swept settings of one trial."""
        return {key: OmegaConf.select(config, key) for key in self.swept}

    @staticmethod
    def folder(config: DictConfig) -> Path:
        """Return the folder of the whole sweep."""
        return Path(config.hydra.sweep.dir)


def swept_settings(words: Sequence[str]) -> list[str]:
    """Return the keys that ``key=value`` words give several values or a range; the last word on a key holds."""
    last = {word.get_key_element(): word for word in OverridesParser.create().parse_overrides(list(words))}
    return [key for key, word in last.items() if word.is_sweep_override()]
