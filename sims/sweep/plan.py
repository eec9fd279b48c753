"""What a sweep is to compute: the tasks, their identities, their seeds and when they stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sims.store import digest


@dataclass(frozen=True)
class StoppingRule:
    """When a receiver has seen enough slots at one Eb/N0.

    A point's result is the shortest run of chunks from the first on with at least
    `target_block_errors` block errors, or as many chunks as hold `max_slots` slots.

    This is inverse binomial sampling by the chunk: it stops on a run of errors, so that the rate
    at the stop is too high, by about one part in `target_block_errors`, and as many parts as a
    slot in error loses blocks (at 100 errors 1 % with 1 block a slot, 2 % with 4). That is a
    tenth of the interval's half-width, and the intervals of `error_rate` cover as stated: in
    2,000 simulated sweeps of each of 54 kinds (1, 2 and 4 blocks a slot that err together, BLER
    0.5 to 0.01, stopped by errors or by slots) the 95 % intervals held the BLER, and the BER, in
    93 to 98 % of the sweeps (tests/test_statistics.py).

    Args:
        target_block_errors: errors after which the rate is known well enough, at least 1.
        max_slots: slots after which a point stops in any case, at least 1.
        max_slots_slow: the same for receivers marked slow.

    Raises:
        TypeError, ValueError: if a number is not an integer of at least 1.

    >>> StoppingRule(max_slots=100).chunks(slow=False, slots_per_chunk=32)
    4
    """

    target_block_errors: int = 100
    max_slots: int = 1024
    max_slots_slow: int = 128

    def __post_init__(self) -> None:
        for name in ("target_block_errors", "max_slots", "max_slots_slow"):
            check_positive(name, getattr(self, name))

    def chunks(self, slow: bool, slots_per_chunk: int) -> int:
        """Return the largest number of chunks that a point may take."""
        return math.ceil((self.max_slots_slow if slow else self.max_slots) / slots_per_chunk)


@dataclass(frozen=True)
class Contender:
    """A receiver with all its options, as it takes part in a sweep.

    Args:
        name: the receiver's name in its registry.
        options: every option, defaults included, as JSON can hold it.
        label: what tables and plots call it, unique in the sweep.
        revision: raised by the receiver's author when its results change.
        slow: whether it gets the smaller budget of slots.
        genie: whether it knows what no receiver can know.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    revision: int = 1
    slow: bool = False
    genie: bool = False

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name)


@dataclass(frozen=True)
class Plan:
    """All that fixes the results of a sweep; the number of workers and their order do not.

    Args:
        scenario: the scenario as JSON can hold it.
        contenders: the receivers, with unique labels.
        ebno_db: the points [dB], distinct.
        rule: when a point stops.
        slots_per_chunk: slots that are simulated, stored and counted together, at least 1.
        seed: chooses another set of slots, at least 0.
        versions: name -> version of the software on which results depend.

    Raises:
        TypeError, ValueError: if an argument is out of its range.
    """

    scenario: Mapping[str, Any]
    contenders: tuple[Contender, ...]
    ebno_db: tuple[float, ...]
    rule: StoppingRule
    slots_per_chunk: int = 32
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_positive("slots_per_chunk", self.slots_per_chunk)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be an integer of at least 0, got {self.seed!r}")
        object.__setattr__(self, "ebno_db", tuple(float(ebno) + 0.0 for ebno in self.ebno_db))
        _check_distinct("contenders", [contender.label for contender in self.contenders])
        _check_different(self.contenders)
        _check_distinct("ebno_db", self.ebno_db)
        if not all(map(math.isfinite, self.ebno_db)):
            raise ValueError(f"ebno_db must be finite, got {self.ebno_db}")

    def key(self, contender: Contender, ebno_db: float) -> str:
        """Return the identity of one task: equal keys mean interchangeable results."""
        return digest(
            {
                "scenario": self.scenario,
                "receiver": contender.name,
                "options": contender.options,
                "revision": contender.revision,
                "sionna": self.versions.get("sionna"),
                "ebno_db": ebno_db,
                "slots_per_chunk": self.slots_per_chunk,
                "seed": self.seed,
            }
        )

    def chunk_seed(self, ebno_db: float, chunk: int) -> int:
        """Return the seed of a chunk's slots, 62 bits; it does not depend on the receiver."""
        return int(
            digest(
                {
                    "scenario": self.scenario,
                    "ebno_db": ebno_db,
                    "chunk": chunk,
                    "seed": self.seed,
                    "slots_per_chunk": self.slots_per_chunk,
                }
            ),
            16,
        ) >> (256 - 62)


def _check_distinct(name: str, values: Sequence[object]) -> None:
    if not values:
        raise ValueError(f"{name} must not be empty")
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{name} must differ from each other, got {value!r} twice")


def _check_different(contenders: Sequence[Contender]) -> None:
    """Refuse one receiver under two labels: its results would have one identity."""
    seen: dict[str, str] = {}
    for contender in contenders:
        same = seen.setdefault(digest([contender.name, contender.options]), contender.label)
        if same != contender.label:
            raise ValueError(
                "contenders must differ from each other, got the same receiver and options as "
                f"{same!r} and {contender.label!r}"
            )


def check_positive(name: str, value: object) -> None:
    """Raise TypeError or ValueError unless the value is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
