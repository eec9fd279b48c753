"""Fixed against learnt: error rates over Eb/N0 and over time, with 1, 2 and 4 pilot symbols."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sims.experiments.flops import flops_fixed, flops_learnt
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.experiments.slots import measure, points
from sims.plots import COLORS, MARKERS
from sims.receivers import RECEIVERS, resolve
from sims.scenario import SCENARIOS, Scenario
from sims.statistics import Point, ebno_at, error_rate, ratio
from sims.sweep.results import aligned

PILOT_SYMBOLS = {1: [2], 2: [2, 11], 4: [2, 5, 8, 11]}
EBNO_DB = {"nominal_siso": [2, 7, 12], "short_cp": [2, 5, 8], "nominal_2x2": [1, 5, 9]}
REFERENCE = "fixed_pole"
LEARNT = (
    "bptt", "bptt_warm", "bptt_dense", "bptt_gru", "lbfgs", "varpro",
    "pretrained_frozen", "pretrained_fine_tuned",
)  # fmt: skip


def settings(*, quick: bool) -> dict[str, Any]:
    """Return the links, the receivers with all their options, and the number of slots."""
    scenarios = {
        f"{name}, {count} pilot symbol{'s' * (count > 1)}": SCENARIOS[name]
        .replace(pilot_symbols=symbols)
        .to_dict()
        for name in (["nominal_siso"] if quick else EBNO_DB)
        for count, symbols in PILOT_SYMBOLS.items()
        if not quick or count < 4
    }
    learnt = LEARNT[:2] if quick else LEARNT
    return {
        "revision": 1,
        "scenarios": scenarios,
        "receivers": {name: resolve(name) for name in (REFERENCE, "window", *learnt)},
        "revisions": {name: RECEIVERS[name].revision for name in learnt},
        "num_slots": 32 if quick else 64,
        "slots_at_once": 16 if quick else 32,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Count errors, each link in a process of its own."""
    shared = {n: settings[n] for n in ("receivers", "num_slots", "slots_at_once", "revisions")}
    keys = [
        {**shared, "scenario": scenario, "ebno_db": EBNO_DB[scenario["name"]], "seed": seed}
        for scenario in settings["scenarios"].values()
    ]
    found = dict(zip(settings["scenarios"], in_processes(parts, keys, measure), strict=True))
    return Result(
        {label: {n: result[n] for n in ("counts", "sizes")} for label, result in found.items()},
        {label: result["seconds"] for label, result in found.items()},
    )


def present(record: Record) -> Presentation:
    """Draw four rows of panels a scenario: bits and blocks in error over Eb/N0 and over time."""
    scenarios = _links(record)
    names = list(dict.fromkeys(scenario["name"] for scenario in scenarios.values()))
    width = len(scenarios) // len(names)
    figure = Figure(figsize=(1.0 + 4.2 * width, 3.4 * 4 * len(names)), layout="constrained")
    panels = figure.subplots(4 * len(names), width, squeeze=False)
    for index, label in enumerate(scenarios):
        row, column = divmod(index, width)
        for line, unit in enumerate(("bits", "blocks")):
            _draw_rates(panels[4 * row + line, column], record, label, unit)
            _draw_times(panels[4 * row + 2 + line, column], record, label, unit)
        panels[4 * row, column].set_title(label)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    tables = [_table(record), _pilots_table(record)]
    return Presentation(_caption(record), figure, "\n\n".join(tables))


def _links(record: Record) -> dict[str, dict[str, Any]]:
    """Label -> scenario in the order of this file: JSON has none."""
    found = record.settings["budget"]["scenarios"]
    order = list(EBNO_DB)
    return dict(
        sorted(
            found.items(),
            key=lambda item: (order.index(item[1]["name"]), len(item[1]["pilot_symbols"])),
        )
    )


def _receivers(record: Record) -> list[str]:
    known = record.settings["budget"]["receivers"]
    return [name for name in (REFERENCE, "window", *LEARNT) if name in known]


def _draw_rates(axes: Axes, record: Record, label: str, unit: str) -> None:
    ebno_db = EBNO_DB[record.settings["budget"]["scenarios"][label]["name"]]
    for index, name in enumerate(_receivers(record)):
        rates = [error_rate(p.errors, p.per_slot) for p in points(record.data[label], name, unit)]
        seen = [(e, r) for e, r in zip(ebno_db, rates, strict=True) if r.value > 0]
        if not seen:
            continue
        x = np.array([e for e, _ in seen]) + 0.06 * (index - 4)  # intervals stand side by side
        bars = np.array([[r.value - r.low for _, r in seen], [r.high - r.value for _, r in seen]])
        axes.errorbar(
            x, [r.value for _, r in seen], yerr=bars, color=COLORS[index % len(COLORS)],
            marker=MARKERS[index % len(MARKERS)], markersize=4, linewidth=1.1, capsize=2,
            linestyle="-" if index < len(COLORS) else "--", label=RECEIVERS[name].label,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("Eb/N0 per stream [dB]")
    axes.set_ylabel("BER" if unit == "bits" else "BLER")
    axes.grid(True, which="both", color="0.92")


def _draw_times(axes: Axes, record: Record, label: str, unit: str) -> None:
    for index, name in enumerate(_receivers(record)):
        point = points(record.data[label], name, unit)[1]
        rate = error_rate(point.errors, point.per_slot)
        if rate.value == 0:
            continue
        axes.errorbar(
            [1e3 * record.times[label][name]], [rate.value],
            yerr=[[rate.value - rate.low], [rate.high - rate.value]],
            color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)], capsize=2,
        )  # fmt: skip
    name = record.settings["budget"]["scenarios"][label]["name"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Time to train and detect [ms a slot]")
    axes.set_ylabel(f"{'BER' if unit == 'bits' else 'BLER'} at {EBNO_DB[name][1]:g} dB")
    axes.grid(True, which="both", color="0.92")


def _table(record: Record) -> str:
    """For every link and receiver: errors and time over those of fixed poles, FLOPs."""
    rows = [["link", "receiver", "BER over fixed [95 %]", "time over fixed", "MFLOP a slot"]]
    for label, fields in _links(record).items():
        reference = _all_points(record, label, REFERENCE)
        for name in _receivers(record):
            options = record.settings["budget"]["receivers"][name]
            found = ratio(_all_points(record, label, name), reference)
            scenario = Scenario.from_dict(fields)
            cost = (flops_learnt if name in LEARNT else flops_fixed)(scenario, options)
            times = record.times[label]
            rows.append([
                label, RECEIVERS[name].label,
                f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]",
                f"{times[name] / times[REFERENCE]:.1f}",
                "" if cost is None else f"{cost / 1e6:.3g}",
            ])  # fmt: skip
    return aligned(rows)


def _pilots_table(record: Record) -> str:
    """Pilot symbols that every receiver needs for the bit error rate of fixed poles with two."""
    scenarios = _links(record)
    rows = [["link", "receiver", "BER", "pilot symbols to it [95 %]"]]
    for name in dict.fromkeys(scenario["name"] for scenario in scenarios.values()):
        links = {
            len(scenario["pilot_symbols"]): label
            for label, scenario in scenarios.items() if scenario["name"] == name
        }  # fmt: skip
        target = points(record.data[links[2]], REFERENCE, "bits")[1].rate
        if target == 0:
            continue
        for receiver in _receivers(record):
            if receiver == REFERENCE:
                continue
            curve = {
                float(np.log2(count)): points(record.data[label], receiver, "bits")[1]
                for count, label in links.items()
            }
            # Rates are interpolated over the logarithm of the pilots as they are over decibels.
            found = ebno_at(target, curve)
            value, low, high = (f"{2**x:.2g}" for x in (found.value, found.low, found.high))
            most, least = max(links), min(links)
            if np.isnan(found.value):
                value = f"> {most}" if curve[max(curve)].rate >= target else f"< {least}"
            low = low if np.isfinite(found.low) else f"< {least}"
            high = high if np.isfinite(found.high) else f"> {most}"
            rows.append([
                f"{name}, {EBNO_DB[name][1]:g} dB", RECEIVERS[receiver].label, f"{target:.1e}",
                f"{value} [{low}, {high}]",
            ])  # fmt: skip
    return aligned(rows)


def _all_points(record: Record, label: str, name: str) -> Point:
    """Bit errors over the slots of all Eb/N0."""
    parts = points(record.data[label], name, "bits")
    return Point(np.concatenate([part.errors for part in parts]), parts[0].per_slot)


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    text = f"""\
        Fixed poles against learnt ones on coded links, {budget["num_slots"]} slots at every Eb/N0,
        the
        same for all receivers, which know nothing but the slot's pilots and the noise variance
        (the pre-trained ones also other slots of the same scenario). Rows: bit error rate, block
        error rate, and both over the time that training and detection of a slot take, all
        slots of a batch of {budget["slots_at_once"]} side by side on one thread; bars are 95 %
        intervals over slots; points without errors are left out. The
        first table pools the slots of all Eb/N0 for the ratio of bit errors, paired, and counts
        floating point operations for all steps that the budget allows. The second one tells with
        how many pilot symbols a receiver has the bit error rate that fixed poles have with two,
        interpolated on logarithmic scales; other pilots are other slots, so it is not paired. Seed
        {record.settings["seed"]}."""
    return textwrap.fill(" ".join(text.split()), 100)
