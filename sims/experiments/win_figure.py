"""The win map as a figure, a table and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sims.experiments.win_standings import Standing, count_wins
from sims.statistics import Estimate
from sims.sweep.results import aligned

LIMIT_DB = 3.0  # the colours' range
LIGHT = 0.62  # fraction of the range beyond which text is white


def draw(cells: Mapping[str, Sequence[Standing]], about: Mapping[str, str]) -> Figure:
    """Draw who gains how much over the best rival: one row a situation, one column a receiver.

    Green is a gain, purple a loss; bold where the 95 % interval and a test show it. Where neither
    curve comes down to the target rate, the cell says which has fewer errors at the highest point.

    Args:
        cells: situation -> standings.
        about: situation -> the words of its row.
    """
    columns = _columns(cells)
    size = (2.9 + 0.95 * len(columns), 1.9 + 0.3 * len(cells))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    colours = colormaps["PRGn"]
    norm = Normalize(-LIMIT_DB, LIMIT_DB, clip=True)
    axes.set_facecolor("0.93")
    for row, standings in enumerate(cells.values()):
        by_name = {standing.name: standing for standing in standings}
        for column, name in enumerate(columns):
            if name in by_name:
                _fill(axes, row, column, by_name[name], colours, norm)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(cells)), [about[name] for name in cells])
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(cells)), [_best_rival(s) for s in cells.values()], color="0.35")
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    right.set_ylabel("best rival", color="0.35")
    figure.supxlabel(
        "dB gained over the best rival at BLER 10 %, bold where interval and test exclude zero",
        fontsize=9,
    )
    return figure


def _columns(cells: Mapping[str, Sequence[Standing]]) -> list[str]:
    """Ours, then the controls, each in the order in which the cells name them."""
    every = [s for standings in cells.values() for s in standings]
    return [
        name
        for role in ("ours", "control")
        for name in dict.fromkeys(s.name for s in every if s.role == role)
    ]


def _best_rival(standings: Sequence[Standing]) -> str:
    return standings[0].rival or "none"


def _fill(axes: Any, row: int, column: int, standing: Standing, colours: Any, norm: Any) -> None:
    text, shade = _shown(standing)
    axes.fill_between(
        [column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=colours(norm(shade)), linewidth=0
    )
    axes.text(
        column,
        row,
        text,
        ha="center",
        va="center",
        fontsize=8,
        color="white" if abs(shade) > LIGHT * LIMIT_DB else "black",
        fontweight="bold" if standing.verdict != "open" else "normal",
    )


def _shown(standing: Standing) -> tuple[str, float]:
    """The text of a field of the map, and the dB that its colour stands for."""
    value = standing.gain_db
    if math.isnan(value):
        shade = {"better": LIMIT_DB / 2, "worse": -LIMIT_DB / 2, "open": 0.0}[standing.verdict]
        return {"better": "fewer", "worse": "more", "open": "equal"}[standing.verdict], shade
    bound = "" if not math.isnan(standing.gained.value) else (">" if value >= 0 else "<")
    return f"{bound}{value:+.1f}", value


def table(cells: Mapping[str, Sequence[Standing]], about: Mapping[str, str]) -> str:
    """Write Eb/N0 at the target rate of every receiver and its gain, a block a situation."""
    blocks = []
    for name, standings in cells.items():
        rows = [[about[name], "", "dB needed [95 %]", "BLER at the top", "dB gained [95 %]", ""]]
        for s in standings:
            mine = s.name == s.rival
            verdict = "best rival" if mine else s.verdict
            gained = "" if mine else _interval(s.gained, signed=True)
            rows.append(
                [s.name, s.role, _interval(s.needs), f"{s.floor.value:.2g}", gained, verdict]
            )
        blocks.append(aligned(rows))
    wins, large = count_wins(cells)
    blocks.append(
        f"{len(cells)} situations; one of ours is better than the best rival, as far as the "
        f"interval shows it, in {wins}, by 2 dB or more in {large}."
    )
    return "\n\n".join(blocks)


def numbers(cells: Mapping[str, Sequence[Standing]]) -> dict[str, Any]:
    """Return what the map shows as JSON can hold it; what is unknown or infinite is None."""
    return {
        name: [
            {
                "receiver": s.name,
                "role": s.role,
                "needs_db": _plain(s.needs),
                "bler_at_top": _plain(s.floor),
                "best_rival": s.rival,
                "gain_db": _plain(s.gained),
                "verdict": s.verdict,
            }
            for s in standings
        ]
        for name, standings in cells.items()
    }


def _plain(estimate: Estimate) -> list[float | None]:
    values = (estimate.value, estimate.low, estimate.high)
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]


def _interval(estimate: Estimate, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if not math.isnan(estimate.value):
        return f"{estimate.value:{sign}.2f} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"
    if math.isfinite(estimate.low):
        return f"> {estimate.low:{sign}.2f}"
    return f"< {estimate.high:{sign}.2f}" if math.isfinite(estimate.high) else "-"
