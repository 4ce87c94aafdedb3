"""Which settings of a training are searched, and between which values."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from finetune.settings import TrainConfig
from tomoseek.command_line import to_dataclass
from tomoseek.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import Trial

WORDS_OF_A_RANGE = {"low", "high", "log", "choices"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The values that one setting may take.

    Attributes
    ----------
    name
        The setting, dotted.
    low, high
        Ends of an interval, both included.
    log
        Whether it is drawn evenly on a logarithmic scale.
    choices
        The values themselves, instead of an interval.
    whole
        Whether values of the interval are whole numbers.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()
    whole: bool = False

    def draw(self, trial: "Trial") -> Any:
        """Return the value that a trial proposes, or has proposed before."""
        if self.choices:  # lists cannot be proposed, their text can
            return json.loads(trial.suggest_categorical(self.name, [to_word(choice) for choice in self.choices]))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def extremes(self) -> list[Any]:
        """Return values that are all good if every value is."""
        return list(self.choices) or [int(end) if self.whole else end for end in (self.low, self.high)]


def to_word(value: Any) -> str:
    """Write a value as it stands behind ``key=`` on a command line."""
    return json.dumps(value, separators=(",", ":"))


def read_ranges(search: Mapping[str, Any], config: TrainConfig) -> list[Range]:
    """Read the ranges of a search, and see that a training would take what lies in them.

    Parameters
    ----------
    search
        Nested as settings are; at the bottom ``{low, high, log}``, ``{choices}``, or None for a setting that is not
        searched.
    config
        The other settings.

    Raises
    ------
    InputError
        If one is no range, empty, of no setting, or has values that the setting cannot take.
    """
    settings = training_settings(config)
    ranges = [_read(name, words, settings) for name, words in _flat(search)]
    if not ranges:
        raise InputError("search: expected a range of at least one setting, found none; see --help")
    for each in ranges:
        for value in each.extremes():
            with_values(config, {each.name: value}, config.out_dir)
    return ranges


def training_settings(config: TrainConfig) -> DictConfig:
    """Return the settings of a training out of those of a search."""
    values = dataclasses.asdict(config)
    return OmegaConf.create({field.name: values[field.name] for field in dataclasses.fields(TrainConfig)})


def with_values(config: TrainConfig, values: Mapping[str, Any], out_dir: str | Path) -> TrainConfig:
    """Return the settings of a training in which some, by dotted name, have other values.

    Raises
    ------
    InputError
        If there is no such setting, or it cannot have that value.
    """
    settings = training_settings(config)
    for name, value in values.items():
        OmegaConf.update(settings, name, value)
    settings.out_dir = str(out_dir)
    return to_dataclass(TrainConfig, settings)


def _flat(search: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in search.items():
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise InputError(
                f"search.{prefix}{key}: expected {{low: .., high: .., log: true or false}}, {{choices: [..]}} or null, "
                f"found {value}"
            )
        if WORDS_OF_A_RANGE & value.keys():
            yield f"{prefix}{key}", value
        else:
            yield from _flat(value, f"{prefix}{key}.")


def _read(name: str, words: Mapping[str, Any], settings: DictConfig) -> Range:
    default = OmegaConf.select(settings, name)
    interval, choices = {key: words.get(key) for key in ("low", "high")}, words.get("choices")
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in interval.values())
    if words.keys() == {"choices"} and isinstance(choices, list) and choices:
        return Range(name=name, choices=tuple(choices))
    if words.keys() - {"log"} != {"low", "high"} or not numbers:
        raise InputError(
            f"search.{name}: expected low and high, two numbers, perhaps log; or choices, a list; found {dict(words)}"
        )
    low, high, log = words["low"], words["high"], bool(words.get("log", False))
    if not low < high or (log and low <= 0):
        raise InputError(
            f"search.{name}: expected low < high{', and both above 0 with log' if log else ''}, found {low} and {high}"
        )
    whole = isinstance(default, int) and not isinstance(default, bool)
    return Range(name=name, low=low, high=high, log=log, whole=whole)
