"""Plots: every number that is shown is there, and nothing that was not simulated."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from sims.plots import Curve, RatePoint, plot_rates
from sims.statistics import UNKNOWN, Estimate, error_rate

CURVES = [
    Curve(
        "ours",
        False,
        [
            RatePoint(0.0, Estimate(0.5, 0.4, 0.6)),
            RatePoint(5.0, Estimate(0.02, 0.01, 0.04)),
            RatePoint(10.0, error_rate(np.zeros(50, int), 2)),
            RatePoint(15.0, UNKNOWN),
        ],
    ),
    Curve("bound", True, [RatePoint(0.0, Estimate(0.1, 0.05, 0.2))]),
    Curve("unsimulated", False, [RatePoint(0.0, UNKNOWN)]),
]


@pytest.fixture
def axes() -> Axes:
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def drawn(axes: Axes, label: str) -> NDArray[np.float64]:
    container = next(c for c in axes.containers if c.get_label() == label)
    return np.array(container[0].get_xydata())


def lines(axes: Axes) -> list[Line2D]:
    """All lines, those that do not count for the axes' limits among them."""
    return [artist for artist in axes.get_children() if isinstance(artist, Line2D)]


def test_rates_and_intervals_are_where_they_belong(axes: Axes) -> None:
    plot_rates(axes, CURVES, quantity="bler", title="A scenario")
    assert drawn(axes, "ours").tolist() == [[0.0, 0.5], [5.0, 0.02]]
    segments = axes.containers[0][2][0].get_segments()
    assert np.allclose(segments, [[[0, 0.4], [0, 0.6]], [[5, 0.01], [5, 0.04]]])
    assert axes.get_yscale() == "log"


def test_point_without_errors_is_a_hollow_mark_at_the_edge_with_its_interval(axes: Axes) -> None:
    plot_rates(axes, CURVES, quantity="ber", title="A scenario")
    high = CURVES[0].points[2].rate.high
    mark, bar = (line for line in lines(axes) if 10.0 in list(line.get_xdata()))
    assert mark.get_marker() == "v" and mark.get_markerfacecolor() == "white"
    assert bar.get_ydata()[1] == high
    low, top = axes.get_ylim()
    assert 1e-4 < low < high < top
    # In pixels: the mark is inside the axes, at their foot, and the bar ends at the limit.
    box = axes.get_window_extent()
    height = mark.get_transform().transform((10.0, mark.get_ydata()[0]))[1] - box.y0
    assert 0 < height < 0.05 * box.height
    assert bar.get_transform().transform((10.0, high))[1] == pytest.approx(
        axes.transData.transform((10.0, high))[1]
    )


def test_points_without_errors_do_not_cover_each_other(axes: Axes) -> None:
    clean = [RatePoint(10.0, error_rate(np.zeros(50, int), 2))]
    plot_rates(
        axes,
        [Curve(f"r{index}", False, clean) for index in range(9)],
        quantity="bler",
        title="A scenario",
    )
    places = [
        line.get_transform().transform((10.0, 0.02))[0]
        for line in lines(axes)
        if line.get_marker() == "v"
    ]
    assert len(places) == 9 and (np.diff(sorted(places)) > 3).all()


def test_nothing_is_drawn_where_nothing_was_simulated(axes: Axes) -> None:
    plot_rates(axes, CURVES, quantity="bler", title="A scenario")
    assert drawn(axes, "unsimulated").size == 0
    assert all(np.isfinite(line.get_xydata()).all() for line in lines(axes))
    assert max(max(line.get_xdata(), default=0.0) for line in lines(axes)) == 10.0


def test_genies_are_dashed_and_all_curves_look_different(axes: Axes) -> None:
    many = [Curve(f"r{index}", False, CURVES[0].points[:2]) for index in range(30)]
    plot_rates(axes, [CURVES[1], *many], quantity="bler", title="A scenario")
    curves = [container[0] for container in axes.containers]
    assert [line.get_linestyle() for line in curves[:2]] == ["--", "-"]
    assert len({(line.get_color(), line.get_marker()) for line in curves}) == 31


def test_plot_can_be_read_without_its_caption_and_the_legend_hides_nothing(axes: Axes) -> None:
    plot_rates(axes, CURVES, quantity="bler", title="A scenario")
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    assert axes.get_title() == "A scenario"
    assert "dB" in axes.get_xlabel() and "Block error rate" in axes.get_ylabel()
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["ours", "bound (genie)", "unsimulated"]
    assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())


def test_unknown_quantity_is_refused_and_no_global_figure_is_made(axes: Axes) -> None:
    with pytest.raises(ValueError, match="bler, ber"):
        plot_rates(axes, CURVES, quantity="mse", title="")
    plot_rates(axes, [], quantity="bler", title="")
    assert plt.get_fignums() == []
