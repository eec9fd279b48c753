"""From names and short texts to the scenario, receivers and points of a sweep."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sims.receivers import RECEIVERS, resolve
from sims.scenario import SCENARIOS, Scenario
from sims.scenario.checks import known
from sims.sweep.notation import load
from sims.sweep.plan import Contender

MAX_POINTS = 1000
LARGEST_EBNO_DB = 200.0


def choose_scenario(scenario: str | Mapping[str, Any], overrides: Sequence[str] = ()) -> Scenario:
    """Return a preset, or a scenario of given fields, with some fields changed.

    Args:
        scenario: a name of SCENARIOS, or the fields of a Scenario.
        overrides: texts `field=value`, the value in YAML, as in a file.

    Raises:
        ValueError: for an unknown name, with the near ones, a field that is changed twice, or
            fields that do not go together.

    >>> choose_scenario("nominal_siso", ["speed=30"]).speed
    30.0
    """
    if isinstance(scenario, str):
        known("scenario", scenario, SCENARIOS)
        chosen = SCENARIOS[scenario]
    else:
        chosen = Scenario.from_dict(scenario)
    changes = _assignments("field", overrides)
    for name in changes:
        known("field of a scenario", name, [f.name for f in dataclasses.fields(chosen) if f.init])
    return chosen.replace(**changes) if changes else chosen


def choose_receivers(texts: Sequence[str], scenario: Scenario) -> tuple[Contender, ...]:
    """Return the receivers that texts such as `esn` or `esn:window=16,delay=8` name.

    Args:
        texts: a name of RECEIVERS each, with options behind a colon where the defaults do not do.
        scenario: where they are to run.

    Returns:
        The receivers, with all their options.

    Raises:
        ValueError, TypeError: for an unknown name or option, with the near ones, a wrong value, an
            option given twice, or a receiver that cannot run in the scenario, with the reason.
    """
    contenders = []
    for text in texts:
        name, _, given = text.partition(":")
        known("receiver", name, RECEIVERS)
        receiver = RECEIVERS[name]
        complete = read_options(text)
        reason = receiver.requires(scenario, complete)
        if reason is not None:
            raise ValueError(
                f"receiver {name!r} cannot run in scenario {scenario.name!r}: {reason}"
            )
        label = receiver.label + (f" ({given.replace(',', ', ')})" if given else "")
        contenders.append(
            Contender(name, complete, label, receiver.revision, receiver.slow, receiver.genie)
        )
    return tuple(contenders)


def read_options(text: str) -> dict[str, Any]:
    """Return all options of the receiver that a text such as `esn:window=16` names.

    Raises:
        ValueError, TypeError: for an unknown name or option, a wrong value, or an option given
            twice.
    """
    name, _, given = text.partition(":")
    return resolve(name, _assignments(f"option of receiver {name!r}", _split(given)))


def runnable(names: Sequence[str], scenario: Scenario) -> tuple[list[str], dict[str, str]]:
    """Split receivers into those that can run in a scenario, and the others' reasons."""
    reasons = {name: RECEIVERS[name].requires(scenario, resolve(name)) for name in names}
    return (
        [name for name in names if reasons[name] is None],
        {name: reason for name, reason in reasons.items() if reason is not None},
    )


def choose_points(texts: Sequence[str | float]) -> tuple[float, ...]:
    """Return the Eb/N0 [dB] that numbers and ranges `start:stop:step` (stop included) name.

    Raises:
        ValueError: if a text is neither, or a range is empty or endless.

    >>> choose_points(["-2", "0:10:5"])
    (-2.0, 0.0, 5.0, 10.0)
    """
    points: list[float] = []
    for text in texts:
        try:
            numbers = [float(part) for part in str(text).split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3) or not all(abs(n) <= LARGEST_EBNO_DB for n in numbers):
            raise ValueError(
                f"ebno_db must be numbers or start:stop:step in dB, up to {LARGEST_EBNO_DB:g} dB, "
                f"got {text!r}"
            )
        if len(numbers) == 1:
            points.append(numbers[0])
            continue
        start, stop, step = numbers
        if step <= 0 or stop < start or (stop - start) / step >= MAX_POINTS:
            raise ValueError(
                "ebno_db start:stop:step needs start <= stop, a positive step and at "
                f"most {MAX_POINTS} points, got {text!r}"
            )
        # Half a step in a thousand absorbs the rounding of decimal steps such as 0.1.
        count = math.floor((stop - start) / step + 5e-4) + 1
        points += [round(start + step * index, 9) for index in range(count)]
    return tuple(points)


def choose_cluster(cluster: str | None) -> str | None:
    """Return where a sweep's workers are, if that can be: None, "local" or tcp://host:port.

    Raises:
        ValueError: if the text is something else, or Dask is not installed.

    >>> choose_cluster("tcp://10.0.0.1:8786")
    'tcp://10.0.0.1:8786'
    """
    if cluster is None:
        return None
    address = re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", cluster)
    if cluster != "local" and not (address and 0 < int(address[2]) < 2**16):
        raise ValueError(f"cluster must be local or tcp://host:port, got {cluster!r}")
    if importlib.util.find_spec("distributed") is None:
        raise ValueError('cluster needs Dask: pip install "rx-fixedpole[sims,cluster]"')
    return cluster


def describe_all() -> str:
    """Return a list of the scenarios and receivers there are, with the receivers' options."""
    lines = ["scenarios:"]
    for name, scenario in SCENARIOS.items():
        lines.append(f"  {name:20} {scenario.summary}")
    lines.append("receivers (slow ones get --max-slots-slow; a genie knows what none can):")
    for name, receiver in RECEIVERS.items():
        marks = "".join(f" [{mark}]" for mark in ("slow", "genie") if getattr(receiver, mark))
        options = ", ".join(f"{key}={json.dumps(value)}" for key, value in resolve(name).items())
        lines.append(f"  {name:20} {receiver.label}{marks}")
        if options:
            lines.append(f"  {'':20}   options: {options}")
    return "\n".join(lines)


def _split(options: str) -> list[str]:
    """Split at the commas outside brackets and quotes: `a=1,b=[2,3]` has two options."""
    parts, depth, quoted = [""], 0, False
    for letter in options:
        quoted ^= letter == '"'
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


def _assignments(what: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return name -> value; which of two values was meant, nobody can know."""
    values: dict[str, Any] = {}
    for text in texts:
        name, value = _assignment(text)
        if name in values:
            raise ValueError(f"{what} given twice: {name!r} is {values[name]!r} and {value!r}")
        values[name] = value
    return values


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"expected name=value, got {text!r}")
    try:
        return name.strip(), {"None": None}.get(value, load(value))
    except yaml.YAMLError:
        return name.strip(), value
