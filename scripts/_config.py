"""Files of flags: read and checked as a whole before the parser sees them."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from sims.sweep.notation import load


class ConfigFile(ActionConfigFile):
    """A flag whose value is a YAML or JSON file that sets other flags.

    A flag that takes several values may have one alone, or a mapping where they are name=value.
    """

    def __call__(
        self, parser: ArgumentParser, cfg: Namespace, values: str, option_string: str | None = None
    ) -> None:
        """Set what the file says; exit with one line if it says nothing that could be meant."""
        flags = {
            action.dest: action
            for action in parser._actions
            if action.option_strings and action.dest not in ("help", "print_config")
        }
        try:
            content = _read(Path(values), flags)
        except ValueError as error:
            parser.error(f"config {error}")
        super().__call__(parser, cfg, json.dumps(content, default=str), option_string)


def _read(
    path: Path, flags: Mapping[str, argparse.Action], outer: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return flag -> value; ValueError names the file, the flag and what was expected."""
    try:
        content = load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected flags as name: value, got {content!r}")
    values: dict[str, Any] = {}
    for name, value in content.items():
        try:
            values[name] = _value(_flag(str(name), flags), value)
        except ValueError as error:
            raise ValueError(f"{path}: {name}: {error}") from error
    inner = values.pop("config", None)
    if inner is None:
        return values
    outer = (*outer, path.resolve())
    inner = path.parent / str(inner)
    if inner.resolve() in outer:
        raise ValueError(f"{path}: config: the file includes itself")
    return {**_read(inner, flags, outer), **values}


def _flag(name: str, flags: Mapping[str, argparse.Action]) -> argparse.Action:
    if name in flags:
        return flags[name]
    near = difflib.get_close_matches(name, flags, n=3, cutoff=0.5)
    raise ValueError(f"no such flag; did you mean {' or '.join(near)}?" if near else "no such flag")


def _value(flag: argparse.Action, value: Any) -> Any:
    if flag.nargs == 0 and not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    if value is None and flag.default is not None:
        raise ValueError("expected a value, got none")
    if flag.nargs != "+" or value is None or isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [f"{key}={json.dumps(entry, default=str)}" for key, entry in value.items()]
    return [value]
