"""What a bar is: a ratio that must be reached, and how it is measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sims.benchmark import engine


@dataclass(frozen=True)
class Budget:
    """How much is measured.

    Args:
        rounds: of every timed comparison, at least 15 for a result.
        threads: of an operation; None: as many as cores.
        device: where Keras' backend computes, "cpu" or "gpu".
    """

    rounds: int = 15
    threads: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Found:
    """What a measurement gave.

    Args:
        value: the number that the bar is about; None where it could not be measured.
        note: in few words how it came about, or why there is none.
        details: numbers beside it, such as seconds of each form.
    """

    value: float | None
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """One line of the benchmark.

    Args:
        title: what is compared, with its sizes.
        sense: whether the value must be "at least" or "at most" the limit; "info" has no limit.
        limit: the bar.
        measure: measures it.
        device: the one on which the limit counts, "cpu" or "gpu"; None: on both.
    """

    title: str
    sense: Literal["at least", "at most", "info"]
    limit: float
    measure: Callable[[Budget], Found]
    device: str | None = None

    def on(self, device: str) -> Bar:
        """The bar as it counts on a device."""
        if self.device in (None, device):
            return self
        return replace(self, sense="info", limit=0.0)

    def verdict(self, value: float | None) -> str:
        """Say in one word how a value stands to the bar.

        >>> Bar("speed", "at least", 2.0, lambda budget: Found(None)).verdict(3.0)
        'met'
        """
        if self.sense == "info":
            return ""
        if value is None:
            return "not measured"
        reached = value >= self.limit if self.sense == "at least" else value <= self.limit
        return "met" if reached else "MISSED"


def later(name: str, *options: object) -> Callable[[Budget], Found]:
    """A measurement that needs TensorFlow, found when it is made: "module.function", options."""
    module, function = name.split(".")

    def measure(budget: Budget) -> Found:
        if engine.NAME != "tensorflow":
            return Found(None, f"needs TensorFlow and Sionna, Keras runs on {engine.NAME}")
        found = getattr(importlib.import_module(f"sims.benchmark.{module}"), function)
        result: Found = found(*options)(budget) if options else found(budget)
        return result

    return measure
