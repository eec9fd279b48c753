"""Figure 1: the loss over two poles, its valley, and how the condition number grows along it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rx_fixedpole import theory
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.plots import COLORS, MARKERS

# The paper's example: two real poles with gains 1, to be learned from their impulse response.
TRUE_POLES = (0.75, 0.8)
AXIS = (0.5, 0.95)
MEETING_POINTS = (0.8, 0.5, 0.1)
# Closer poles: with the gains, the condition number leaves the reach of double precision.
GAPS = (1e-3, 0.3)


def settings(*, quick: bool) -> dict[str, Any]:
    """Return the sizes of the grids."""
    return {
        "revision": 1,
        "grid": 91 if quick else 181,
        "positions": 51 if quick else 101,
        "gaps": 16 if quick else 31,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Evaluate the closed forms; nothing is random."""
    del seed, parts
    axis = np.linspace(*AXIS, settings["grid"])
    start = np.array(TRUE_POLES)
    where = np.linspace(0, 1, settings["positions"])
    # From one solution towards the other, and as far at a right angle to it.
    step = start[::-1] - start
    across = start + where[:, None] * np.abs(step)
    gaps = np.geomspace(*GAPS, settings["gaps"])
    return Result(
        {
            "axis": axis,
            "loss": theory.loss(np.stack(np.meshgrid(axis, axis), axis=-1), TRUE_POLES),
            "distance": where * np.linalg.norm(step),
            "along": theory.segment_loss(TRUE_POLES, [1, 0], where),
            "across": theory.loss(across, TRUE_POLES),
            "gaps": gaps,
            "conditions": [
                {
                    "pole": pole,
                    "law": theory.coalescence_constant(pole),
                    "poles": [theory.condition_number([pole - gap, pole]) for gap in gaps],
                    "full": [
                        theory.condition_number([pole - gap, pole], full=True) for gap in gaps
                    ],
                }
                for pole in MEETING_POINTS
            ],
            "condition_at_solution": theory.condition_number(TRUE_POLES),
            "full_condition_at_solution": theory.condition_number(TRUE_POLES, full=True),
        }
    )


def present(record: Record) -> Presentation:
    """Draw the surface, two cuts through it and the condition numbers."""
    figure = Figure(figsize=(16.4, 5.0), layout="constrained")
    surface, cuts, conditions = figure.subplots(1, 3, width_ratios=[1.15, 1, 1.15])
    _draw_surface(surface, record.data)
    _draw_cuts(cuts, record.data)
    _draw_conditions(conditions, record.data)
    return Presentation(_caption(record.data), figure)


def _draw_surface(axes: Axes, data: Mapping[str, Any]) -> None:
    axis, values = np.array(data["axis"]), np.array(data["loss"])
    # The loss is zero at two points, which a logarithmic scale does not have.
    levels = 10.0 ** np.arange(-6, 1.01, 0.5)
    norm = LogNorm(levels[0], levels[-1])
    filled = axes.contourf(
        axis, axis, np.maximum(values, levels[0]), levels, norm=norm, cmap="viridis", extend="both"
    )
    axes.contour(axis, axis, values, levels[::2], colors="white", linewidths=0.4, alpha=0.7)
    bar = axes.figure.colorbar(filled, ax=axes, ticks=10.0 ** np.arange(-6, 2))
    bar.set_label("Loss f: energy of the error of h[n]")
    c, d = TRUE_POLES
    axes.plot([c, d], [d, c], color="white", linewidth=2.5)
    axes.plot([c, d], [d, c], color=COLORS[1], linewidth=1.4, label="segment between them")
    axes.plot(
        [c, d],
        [d, c],
        color="white",
        marker="o",
        markersize=7,
        markeredgecolor="black",
        linestyle="none",
        label=f"solutions ({c:g}, {d:g}) and ({d:g}, {c:g})",
    )
    axes.set_box_aspect(1)
    axes.set_xlabel("Pole x (no unit)")
    axes.set_ylabel("Pole y (no unit)")
    axes.set_title("Loss of two poles x, y with gains 1")
    axes.legend(loc="lower left", framealpha=0.9)


def _draw_cuts(axes: Axes, data: Mapping[str, Any]) -> None:
    distance = np.array(data["distance"])
    for name, color, label in (
        ("across", COLORS[0], "across the valley, both poles rise"),
        ("along", COLORS[1], "along the segment to the other solution"),
    ):
        values = np.array(data[name])
        shown = values > 1e-12  # zero at the solutions, but for rounding
        axes.plot(distance[shown], values[shown], color=color, label=label)
    axes.set_yscale("log")
    axes.set_xlim(0, distance[-1])
    axes.set_xlabel(f"Distance from the solution {TRUE_POLES} (no unit)")
    axes.set_ylabel("Loss f: energy of the error of h[n]")
    axes.set_title("Two cuts through one solution")
    axes.legend(loc="lower center")
    _grid(axes)


def _draw_conditions(axes: Axes, data: Mapping[str, Any]) -> None:
    gaps = np.array(data["gaps"])
    for case, color, marker in zip(data["conditions"], COLORS, MARKERS, strict=False):
        axes.plot(gaps, case["full"], color=color, linestyle=":")
        axes.plot(gaps, case["poles"], color=color, marker=marker, markersize=4, linestyle="none")
        axes.plot(gaps, case["law"] / gaps**2, color=color, linewidth=1.0)
    kinds: list[Artist] = [
        Line2D([], [], color="0.4", linestyle=":", label="over poles and gains"),
        Line2D([], [], color="0.4", linestyle="none", marker="o", label="over the poles"),
        Line2D([], [], color="0.4", label="law C(d) / (d - c)² for the poles"),
    ]
    kinds += [
        Patch(color=color, label=f"d = {case['pole']:g}, C = {case['law']:.3g}")
        for case, color in zip(data["conditions"], COLORS, strict=False)
    ]
    c, d = TRUE_POLES
    found = data["condition_at_solution"]
    axes.plot([d - c], [found], color="black", marker="*", markersize=12, linestyle="none")
    axes.annotate(
        f"({c:g}, {d:g}): {found:.1f}",
        (d - c, found),
        xytext=(-8, -16),
        textcoords="offset points",
        ha="right",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Distance of the poles, d - c (no unit)")
    axes.set_ylabel("Condition number of the Hessian (no unit)")
    axes.set_title("Conditioning as c approaches d")
    axes.legend(handles=kinds, loc="upper right")
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(True, which="major", color="0.85")
    axes.set_axisbelow(True)


def _caption(data: Mapping[str, Any]) -> str:
    c, d = TRUE_POLES
    along, across = np.array(data["along"]), np.array(data["across"])
    ratio = across[-1] / along[len(along) // 2]
    near = data["conditions"][0]
    far = data["conditions"][-1]
    text = f"""\
        What it costs to learn two poles. A system with impulse response h[n] = {c:g}^n + {d:g}^n
        is fitted by x^n + y^n; the loss f(x, y) is the squared error summed over all n, which is
        the mean squared error for white input of unit power. Left: f in logarithmic colour, from
        closed forms. Both ({c:g}, {d:g}) and ({d:g}, {c:g}) are solutions, since the order of the
        poles does not matter, and the floor between them is nearly flat. Middle: f along the
        straight line between the solutions, and as far across it. Between two points of zero loss
        it rises to {np.max(along):.3g}, so f is not convex; across the valley it reaches
        {across[-1]:.3g}, which is {ratio:.0f} times that. Right: condition number of the Hessian
        of f at a solution (c, d), which is what slows gradient descent down: at
        ({c:g}, {d:g}) it is {data["condition_at_solution"]:.2f}, and
        {data["full_condition_at_solution"]:.3g} when the gains are learned too. As c approaches
        d it grows like C / (d - c)² without bound, with C = (1 - d^4)² / (1 + d² + d^4), here
        {near["law"]:.3g} at d = {near["pole"]:g} and {far["law"]:.3g} at d = {far["pole"]:g}: far
        from the unit circle it is larger, not smaller. When the gains
        are learned too (dotted), four sequences come together, c^n, d^n and their derivatives, and
        it grows like 1 / (d - c)^6. Nothing here is random; poles and condition numbers have no
        unit."""
    return textwrap.fill(" ".join(text.split()), 100)
