"""Error rates over Eb/N0 as a figure that a page can hold: zoom, numbers under the mouse, and a
legend that toggles."""

from __future__ import annotations

import html

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sims.plots import COLORS, NAMES
from sims.report.sections import Section, Series
from sims.statistics import Estimate, error_rate

# As sims.plots.MARKERS, in Plotly's words.
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "hexagram",
    "star",
    "x",
    "triangle-left",
    "triangle-right",
)
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "sendDataToCloud"],
    "toImageButtonOptions": {"format": "svg"},
}
_GRID = "rgba(128, 128, 128, 0.25)"


def figure_html(section: Section, identifier: str) -> str:
    """Draw the error rates of a section's receivers with 95 % intervals.

    A receiver looks as in `sims.plots.plot_rates`. A point without an error is a hollow triangle
    at the upper end of its interval, because zero is not on a logarithmic axis.

    Args:
        section: the receivers.
        identifier: the element's id, unique in the page.

    Returns:
        An element and its script, which need Plotly's in the page.
    """
    quantities = section.quantities
    figure = make_subplots(cols=len(quantities), horizontal_spacing=0.09)
    for column, quantity in enumerate(quantities, start=1):
        for place, one in enumerate(section.series):
            for trace in _traces(one, quantity, place, named=column == 1):
                figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(title_text="Eb/N0 per stream [dB]", col=column)
        figure.update_yaxes(title_text=NAMES[quantity], col=column)
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, ticks="outside")
    figure.update_yaxes(
        type="log", gridcolor=_GRID, linecolor=_GRID, exponentformat="power", dtick=1
    )
    legend = 28 * len(section.series)  # pixels
    figure.update_layout(
        template="none",
        height=415 + legend,
        margin={"l": 70, "r": 12, "t": 30, "b": 70 + legend},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8c959f", "activecolor": "#57606a"},
        legend={
            "yref": "container",
            "yanchor": "bottom",
            "y": 0,
            "xanchor": "left",
            "x": 0,
            "groupclick": "togglegroup",
            "bgcolor": "rgba(0,0,0,0)",
        },
    )
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=identifier, config=CONFIG
    )
    return drawn


def _traces(one: Series, quantity: str, place: int, named: bool) -> list[go.Scatter]:
    """Return the curve and, if there are any, its points without errors."""
    rates = {
        ebno: (error_rate(point.errors, point.per_slot), point.errors.sum(), point)
        for ebno, point in one.curves[quantity].items()
    }
    seen = {ebno: rate for ebno, (rate, count, _) in rates.items() if count}
    clean = {ebno: rate for ebno, (rate, count, _) in rates.items() if not count}
    color, label = COLORS[place % len(COLORS)], html.escape(one.shown, quote=False)
    dash = "dash" if one.genie else ("solid", "dot")[place // len(COLORS) % 2]
    hover = {
        ebno: f"{label}<br>{ebno:g} dB: {_hover(rate)}"
        f"<br>{count} of {point.errors.size * point.per_slot} in {point.errors.size} slots"
        for ebno, (rate, count, point) in rates.items()
    }
    shared = {"legendgroup": label, "name": label, "hoverinfo": "text"}
    traces = [
        go.Scatter(
            **shared,
            x=list(seen),
            y=[rate.value for rate in seen.values()],
            error_y={
                "array": [rate.high - rate.value for rate in seen.values()],
                "arrayminus": [rate.value - rate.low for rate in seen.values()],
                "thickness": 1,
                "width": 3,
            },
            hovertext=[hover[ebno] for ebno in seen],
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 1.6},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
            showlegend=named,
        )
    ]
    if clean:
        traces.append(
            go.Scatter(
                **shared,
                x=list(clean),
                y=[rate.high for rate in clean.values()],
                hovertext=[hover[ebno] for ebno in clean],
                mode="markers",
                marker={"symbol": "triangle-down-open", "size": 9, "color": color},
                showlegend=False,
            )
        )
    return traces


def _hover(rate: Estimate) -> str:
    return f"{rate.value:.3g} [{rate.low:.3g}, {rate.high:.3g}]"
