"""From command line and YAML to one typed dataclass per command.

Hydra and OmegaConf are imported where they are used: a command's help waits for neither.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

import yaml

from tomoseek.config import CONFIG_DIR
from tomoseek.errors import IncompleteError, InputError
from tomoseek.messages import show_notices_plainly
from tomoseek.setting_words import as_typed

if TYPE_CHECKING:
    from omegaconf import DictConfig

Schema = TypeVar("Schema")


class Command(NamedTuple):
    """A command: its YAML under ``configs/``, the module that holds ``run(config)``, one line of help."""

    config_name: str
    module: str
    summary: str

    def load(self) -> tuple[type[Any], Callable[[Any], object]]:
        """Import the module, for which no other command waits, and return the dataclass of ``run``, and ``run``."""
        main = import_module(self.module).run
        return get_type_hints(main)["config"], main


def to_dataclass(schema: type[Schema], config: "DictConfig") -> Schema:
    """Check a composed config against its dataclass and build the dataclass.

    Raises
    ------
    InputError
        If a value has the wrong type, is missing (``???``) or fails a cross-field check.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        built = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), config))
    except OmegaConfBaseException as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"setting '{error.full_key}': {reason}; see --help for every setting") from error
    assert isinstance(built, schema)
    return built


def merge_mappings(config: "DictConfig", mappings: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Merge mappings by name into a composed config, as ``key=value`` words of plain Hydra would be."""
    from omegaconf import OmegaConf

    for key, mapping in mappings:
        OmegaConf.update(config, key, mapping, merge=True, force_add=True)


def compose_settings(config_name: str, schema: type[Schema], words: Sequence[str] = ()) -> Schema:
    """Build the settings that ``configs/<config_name>.yaml`` and ``key=value`` words make, without a command line.

    Raises
    ------
    InputError
        As `to_dataclass`.
    """
    import hydra

    plain, mappings = as_typed(schema, words)
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = hydra.compose(config_name, plain)
    merge_mappings(config, mappings)
    return to_dataclass(schema, config)


def launch(command: Command) -> None:
    """Compose the command's YAML with the command line's ``key=value`` words and run it.

    ``InputError`` and ``FileNotFoundError`` become one line on standard error and exit code 2, and so does a
    word that Hydra cannot place. ``IncompleteError`` is printed alike and exits with 1: all but what it lists is done.
    Any other exception keeps its traceback and exits with 1. In a grid
    (``--multirun learning_rate=1e-3,2e-3``) each point writes to a folder of its own inside ``out_dir``, and the first
    with bad input ends the grid in the same way.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(command.config_name))
        return
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    show_notices_plainly()
    schema, main = command.load()
    words, mappings = as_typed(schema, sys.argv[1:], grid=bool({"--multirun", "-m"} & set(sys.argv[1:])))
    sys.argv[1:] = words
    started = False

    @hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=command.config_name)
    def entry(config: "DictConfig") -> object:
        nonlocal started
        started = True
        grid = HydraConfig.get()
        if grid.mode is RunMode.MULTIRUN:
            config.out_dir = grid.runtime.output_dir
        merge_mappings(config, mappings)
        try:
            return main(to_dataclass(schema, config))
        except (InputError, FileNotFoundError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except IncompleteError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us as exceptions, with their whole traceback
    try:
        entry()
    except (HydraException, OmegaConfBaseException) as error:
        if started:
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        print(f"error: {reason}; --help lists every setting", file=sys.stderr)
        sys.exit(2)


def dispatch(program: str, commands: dict[str, Command]) -> None:
    """Run ``python -m <program> <command> key=value ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in commands:
        sys.argv = [f"{program} {name}", *sys.argv[2:]]
        launch(commands[name])
        return
    lines = [f"usage: python -m {program} COMMAND key=value ...   (COMMAND --help shows every setting)", ""]
    lines += [f"  {key:<10} {command.summary}" for key, command in commands.items()]
    asked_for_help = name in {"--help", "-h"}
    print("\n".join(lines), file=sys.stdout if asked_for_help else sys.stderr)
    if not asked_for_help:
        known = ", ".join(commands)
        print(f"\nerror: expected a command ({known}), found '{name or 'nothing'}'", file=sys.stderr)
        sys.exit(2)


def help_text(config_name: str) -> str:
    """Return the command's commented YAML, which documents every setting, and what it draws from."""
    return f"Settings are given as key=value; these are the defaults.\n\n{_shown(config_name)}"


def _shown(config_name: str) -> str:
    text = (CONFIG_DIR / f"{config_name}.yaml").read_text()
    parts = [text.rstrip()]
    for entry in yaml.safe_load(text).get("defaults", []):
        for group, option in entry.items() if isinstance(entry, dict) else ():
            folder = CONFIG_DIR / group.partition("@")[0]
            if folder.is_dir() and option is not None:
                choices = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
                place = group.partition("@")[2] or group
                parts += ["", f"{place}:   # {group}={option}; choices: {choices}"]
                parts += [f"  {line}" if line else "" for line in _option(folder, option)]
        if isinstance(entry, str) and entry not in ("base", "_self_"):
            parts += ["", f"# and all settings of {entry}, with these defaults where nothing else is said above:"]
            parts += ["", _shown(entry)]
    return "\n".join(parts)


def _option(folder: Path, name: str) -> list[str]:
    """Return the lines of a group's choice, and of the choice that it changes."""
    text = (folder / f"{name}.yaml").read_text().rstrip()
    lines = text.splitlines()
    for entry in (yaml.safe_load(text) or {}).get("defaults", []):
        if entry != "_self_":
            lines += [f"# and all settings of {entry}, where nothing else is said above:", *_option(folder, entry)]
    return lines
