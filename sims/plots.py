"""Error rates drawn into a given Axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from sims.statistics import Estimate

# Okabe and Ito's palette less its yellow, which is too pale for lines: distinct for colour-blind
# eyes, and with markers also in print without colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^P*X<>"
NAMES = {"bler": "Block error rate (BLER)", "ber": "Bit error rate (BER)"}


@dataclass(frozen=True)
class RatePoint:
    """An error rate with its interval at one Eb/N0 [dB]."""

    ebno_db: float
    rate: Estimate


@dataclass(frozen=True)
class Curve:
    """A receiver's error rates; `genie` curves are bounds, not receivers one could build."""

    label: str
    genie: bool
    points: Sequence[RatePoint]


def plot_rates(axes: Axes, curves: Sequence[Curve], *, quantity: str, title: str = "") -> None:
    """Draw error rates over Eb/N0 with 95 % intervals and a legend beside the plot.

    Genie receivers are dashed. A point without a single error is a hollow triangle at the lower
    edge, with its interval above it. Points without data are left out.

    Args:
        axes: where to draw.
        curves: one a receiver.
        quantity: "bler" or "ber".
        title: stands over the plot.

    Raises:
        ValueError: for another quantity.
    """
    if quantity not in NAMES:
        raise ValueError(f"quantity must be one of {', '.join(NAMES)}, got {quantity!r}")
    axes.set_yscale("log")
    for index, curve in enumerate(curves):
        # Lengths 7 and 9 have no common factor: no two of sixty-three curves look the same, and
        # neighbours of one colour differ in their lines. Points without errors would cover each
        # other, so they stand side by side.
        line = "--" if curve.genie else ("-", ":")[index // len(COLORS) % 2]
        _draw(
            axes,
            curve,
            COLORS[index % len(COLORS)],
            MARKERS[index % len(MARKERS)],
            line,
            shift=2.5 * (index - (len(curves) - 1) / 2),
        )
    if quantity == "bler":
        axes.set_ylim(top=1.3)
    axes.set_xlabel("Eb/N0 per stream [dB]")
    axes.set_ylabel(f"{NAMES[quantity]}, with 95 % interval")
    axes.set_title(title)
    axes.grid(True, which="major", color="0.85")
    axes.grid(True, which="minor", color="0.95")
    axes.set_axisbelow(True)
    if curves:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, frameon=False)


def _draw(axes: Axes, curve: Curve, color: str, marker: str, line: str, shift: float) -> None:
    seen = [point for point in curve.points if point.rate.value > 0]
    ebno_db = np.array([point.ebno_db for point in seen])
    values = np.array([point.rate.value for point in seen])
    bars = np.array(
        [
            [point.rate.value - point.rate.low for point in seen],
            [point.rate.high - point.rate.value for point in seen],
        ]
    )
    axes.errorbar(
        ebno_db,
        values,
        yerr=bars,
        color=color,
        marker=marker,
        markersize=5,
        linestyle=line,
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2.5,
        label=curve.label + (" (genie)" if curve.genie else ""),
    )
    for point in curve.points:
        if point.rate.value == 0:
            _draw_clean(axes, point, color, shift)


def _draw_clean(axes: Axes, point: RatePoint, color: str, shift: float) -> None:
    """Draw a rate of zero: at the lower edge, because zero is not on a logarithmic axis."""
    aside = ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    edge = blended_transform_factory(axes.transData, axes.transAxes) + aside
    # Artists that are added so do not stretch the axis down to the bar's invisible foot.
    axes.add_artist(
        Line2D(
            [point.ebno_db],
            [0.02],
            transform=edge,
            color=color,
            marker="v",
            markersize=6,
            markerfacecolor="white",
            linestyle="none",
            zorder=3,
        )
    )
    axes.add_artist(
        Line2D(
            [point.ebno_db] * 2,
            [1e-15, point.rate.high],
            color=color,
            transform=axes.transData + aside,
            linewidth=1.0,
            marker="_",
            markevery=[1],
        )
    )
    axes.update_datalim([(point.ebno_db, point.rate.high)])
    axes.autoscale_view()
