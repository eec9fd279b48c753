"""How a sweep shows what it does: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sims.statistics import error_rate
from sims.sweep.ledger import Cell, Ledger
from sims.sweep.pool import Died, Gone
from sims.sweep.timing import Timing
from sims.sweep.worker import Begun, Failed, Message

LINE_EVERY = 15.0  # seconds between plain lines


class Progress:
    """Shows the points, the rate and the time left; hears of events as an Observer.

    Args:
        ledger: the sweep that is watched.
        workers: how many processes work on it.
        console: where to write; a live display is used if it is a terminal.
    """

    def __init__(self, ledger: Ledger, workers: int, console: Console) -> None:
        self.timing = Timing(ledger.plan.slots_per_chunk, workers)
        self._ledger = ledger
        self._console = console
        self._live: Live | None = None
        self._next_line = 0.0

    def observe(self, worker: int, event: Message | Died | Gone) -> None:
        """Take note of an event and say at once what went wrong."""
        self.timing.observe(worker, event)
        if isinstance(event, Failed):
            self._say(
                f"{event.label} failed at {event.unit.ebno_db:g} dB, chunk "
                f"{event.unit.chunk}; the others go on: {event.reason}"
            )
        elif isinstance(event, Died):
            doing = (
                ""
                if event.unit is None
                else (f" at {event.unit.ebno_db:g} dB, chunk {event.unit.chunk}")
            )
            self._say(f"a worker ended{doing} ({event.how}); what it had is done again")
        elif isinstance(event, Gone):
            self._say(event.reason)

    def tick(self) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(Group(self._grid(), Text(self._line())))
        elif self.timing.elapsed >= self._next_line:
            self._say(self._line())
            self._next_line = self.timing.elapsed + LINE_EVERY

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _line(self) -> str:
        cells = self._ledger.cells.values()
        done = sum(cell.done for cell in cells)
        failed = sum(cell.failure is not None for cell in cells)
        parts = [
            f"{_clock(self.timing.elapsed)}  {done} of {len(cells)} points done"
            + (f", {failed} failed" if failed else ""),
            f"{self.timing.slots} slots simulated",
            f"{sum(cell.errors for cell in cells)} block errors",
        ]
        if not math.isnan(self.timing.rate):
            parts.append(f"{self.timing.rate:.3g} slots/s")
        left = self.timing.left(self._ledger)
        parts.append(
            "time left not known yet" if math.isnan(left) else f"about {_clock(left)} left"
        )
        doing = [_step(begun) for begun in self.timing.doing.values()]
        if doing:
            parts.append("now " + ", ".join(doing))
        elif not self.timing.slots:
            parts.append("waiting for workers")
        return "; ".join(parts)

    def _grid(self) -> Table:
        plan = self._ledger.plan
        name = plan.scenario.get("name", "")
        grid = Table(title=f"BLER so far ± half of its 95 % interval, scenario {name}")
        grid.add_column("Eb/N0 (dB)", no_wrap=True)
        for ebno in plan.ebno_db:
            grid.add_column(f"{ebno:g}", justify="right", no_wrap=True)
        for contender in plan.contenders:
            grid.add_row(
                Text(contender.label),
                *(
                    _cell(self._ledger, self._ledger.cells[contender.label, ebno])
                    for ebno in plan.ebno_db
                ),
            )
        return grid


def _cell(ledger: Ledger, cell: Cell) -> Text:
    if cell.failure is not None:
        return Text("failed", style="red")
    if not cell.taken:
        return Text("-", style="dim")
    rate = error_rate(np.array(cell.block_errors), ledger.blocks)
    half = (rate.high - rate.low) / 2
    shown = f"{rate.value:.2g} ±{half:.1g}" if rate.value else f"<{rate.high:.1g}"
    return Text(shown, style="green" if cell.done else "")


def _step(begun: Begun) -> str:
    return f"compiling {begun.step}" if begun.first else begun.step


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
