"""A part of a sweep for one job of a batch queue, and what it sees of the other parts."""

from __future__ import annotations

import glob
import re
import time
from dataclasses import dataclass
from pathlib import Path

from sims.store import Tail
from sims.sweep.ledger import Ledger

LOOK_EVERY = 10.0  # seconds between two looks at the other shards' files


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` parts of a sweep: every `count`-th chunk.

    Args:
        index: from 1.
        count: number of parts, at least `index`.

    Raises:
        ValueError: if the numbers are out of range.

    >>> Shard.parse("2/8").suffix
    '.shard2of8'
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"shard must be i/n with 1 <= i <= n, such as 2/8, got '{self.index}/{self.count}'"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as `2/8` names."""
        numbers = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if numbers is None:
            raise ValueError(f"shard must be i/n with 1 <= i <= n, such as 2/8, got {text!r}")
        return cls(int(numbers[1]), int(numbers[2]))

    @property
    def suffix(self) -> str:
        """What the names of its files add to those of the sweep."""
        return f".shard{self.index}of{self.count}"

    def owns(self, number: int) -> bool:
        """Say whether it computes the unit of that number, counted through all points."""
        return number % self.count == self.index - 1

    def whole(self, out: Path) -> Path:
        """Return where the whole sweep's results go if this shard's go to `out`."""
        return out.with_name(out.name.removesuffix(self.suffix))


class Neighbours:
    """Brings what other shards store meanwhile into the ledger of one.

    Args:
        shard: the one.
        out: where its results go, without the last suffix.
        ledger: what it knows.
    """

    def __init__(self, shard: Shard, out: Path, ledger: Ledger) -> None:
        self._whole = shard.whole(out)
        self._own = out.with_name(out.name + ".jsonl")
        self._ledger = ledger
        self._tails: dict[Path, Tail] = {}
        self._next = 0.0

    def look(self) -> None:
        """Read what is new in the files of the other shards and of the whole, if it is time."""
        if time.monotonic() < self._next:
            return
        here, name = glob.escape(str(self._whole.parent)), glob.escape(self._whole.name)
        names = glob.glob(f"{here}/{name}.shard*of*.jsonl") + glob.glob(f"{here}/{name}.jsonl")
        for path in sorted(map(Path, names)):
            if path != self._own:
                for row in self._tails.setdefault(path, Tail(path)).new_rows():
                    self._ledger.add(row)
        self._next = time.monotonic() + LOOK_EVERY
