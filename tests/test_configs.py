"""YAML and dataclasses say the same, in every command."""

import dataclasses
import re
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import embed.__main__
import finetune.__main__
import tomoseek.__main__
from pretrain.config import PretrainConfig
from tomoseek.command_line import help_text, to_dataclass
from tomoseek.config import CONFIG_DIR

PROGRAMS = {"finetune": finetune.__main__, "embed": embed.__main__, "tomoseek": tomoseek.__main__}
SCHEMAS: dict[str, type[Any]] = {
    "pretrain": PretrainConfig,
    **{
        command.config_name: command.load()[0] for program in PROGRAMS.values() for command in program.COMMANDS.values()
    },
}
# Groups that a command's YAML draws from; everything else at the top is a command.
GROUPS = {
    path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONFIG_DIR.iterdir() if path.is_dir()
}


def composed(name: str, words: list[str]) -> DictConfig:
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        return compose(config_name=name, overrides=words)


def mandatory_words(name: str) -> list[str]:
    """A value for every setting that has no default, and for what only the command line can know."""
    plain = composed(name, [])
    words = [f"{key}=something" for key in plain if OmegaConf.is_missing(plain, key)]
    return [*words, "data.project=copick.json"] if "data" in plain else words


def nested_schema(annotation: Any) -> type[Any] | None:
    """The dataclass in a field's type, also in ``X | None``."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    found = [option for option in options if dataclasses.is_dataclass(option)]
    return typing.cast(type[Any], found[0]) if found else None


def field_names(schema: type[Any], prefix: str = "") -> set[str]:
    hints = typing.get_type_hints(schema)
    names = set()
    for field in dataclasses.fields(schema):
        inner = nested_schema(hints[field.name])
        names |= field_names(inner, f"{prefix}{field.name}.") if inner else {f"{prefix}{field.name}"}
    return names


def yaml_names(config: DictConfig, schema: type[Any], prefix: str = "") -> set[str]:
    hints = typing.get_type_hints(schema)
    names: set[str] = set()
    for key in config:
        inner = nested_schema(hints.get(str(key)))
        value = None if OmegaConf.is_missing(config, key) else config[key]
        nested = isinstance(value, DictConfig) and inner
        names |= yaml_names(value, inner, f"{prefix}{key}.") if nested else {f"{prefix}{key}"}
    return names


def test_every_yaml_at_the_top_belongs_to_a_command() -> None:
    assert {path.stem for path in CONFIG_DIR.glob("*.yaml")} == {*SCHEMAS, "base"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_yaml_names_every_field_of_its_dataclass_and_no_other(name: str) -> None:
    assert yaml_names(composed(name, []), SCHEMAS[name]) == field_names(SCHEMAS[name])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_defaults_become_the_dataclass(name: str) -> None:
    built = to_dataclass(SCHEMAS[name], composed(name, mandatory_words(name)))
    assert isinstance(built, SCHEMAS[name])
    values = dataclasses.asdict(built).values()
    assert not any(isinstance(value, DictConfig) for value in values)
    assert all(isinstance(value, Enum | str | int | float | bool | list | dict | None) for value in values)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_choice_of_a_group_composes(group: str) -> None:
    users = [name for name in SCHEMAS if f"- {group}:" in (CONFIG_DIR / f"{name}.yaml").read_text()]
    assert users
    for name in users:
        for choice in GROUPS[group]:
            words = [f"{group}={choice}", *mandatory_words(name)]
            to_dataclass(SCHEMAS[name], composed(name, words))


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_help_shows_every_setting_with_its_default(name: str) -> None:
    shown = help_text(name)
    assert all(re.search(rf"^ *{field.split('.')[-1]}:", shown, re.MULTILINE) for field in field_names(SCHEMAS[name]))


def test_config_folder_is_the_one_of_this_checkout() -> None:
    assert Path(__file__).resolve().parent.parent / "configs" == CONFIG_DIR
