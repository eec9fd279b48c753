"""With few pilots: bit errors and time of every training method over those of fixed poles."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from sionna.phy import config

from rx_fixedpole import poles as placements
from rx_fixedpole.readout import Ridge
from rx_fixedpole.receivers import FixedPoleEqualizer
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.experiments.scarce_search import search
from sims.experiments.slots import bits_of_all, count_errors
from sims.link import Link, Slots
from sims.receivers import RECEIVERS
from sims.scenario import SCENARIOS, Scenario
from sims.statistics import Point, ratio
from sims.sweep.results import aligned

NUM_POLES, RADIUS = 16, 0.7
FIXED = "fixed ring, ridge"
_SAME = dict(bank="per_antenna", num_poles=NUM_POLES, radius=RADIUS, window=0, readout="ridge")
GRADIENT = ("sgd", "momentum", "rmsprop", "adam", "adamw")
# Label -> options of the receiver "bptt"; the groups are computed in processes of their own.
SCRATCH = {f"{name}, from scratch": dict(_SAME, optimizer=name) for name in GRADIENT}
WARM = {"adam, from the ridge": dict(_SAME, init="ridge")}
NO_REFIT = {"adam, from scratch, no refit": dict(_SAME, refit=False)}
OTHERS = {
    "L-BFGS, from scratch": dict(_SAME, optimizer="lbfgs"),
    "L-BFGS, from the ridge": dict(_SAME, optimizer="lbfgs", init="ridge"),
    "variable projection": dict(_SAME, optimizer="varpro", init="ring"),
}
RATES = {
    "sgd, from scratch": [0.01, 0.03, 0.1, 0.3],
    "momentum, from scratch": [0.003, 0.01, 0.03, 0.1],
    "rmsprop, from scratch": [0.001, 0.003, 0.01, 0.03],
    "adam, from scratch": [0.003, 0.01, 0.03, 0.1],
    "adamw, from scratch": [0.003, 0.01, 0.03, 0.1],
    "adam, from the ridge": [0.001, 0.003, 0.01, 0.03],
}
STEPS = [200, 400, 800]


def settings(*, quick: bool) -> dict[str, Any]:
    """Return the scenarios, the methods and the number of slots."""
    return {
        "revision": 2,
        "scenarios": {
            "scarce_pilots": SCENARIOS["scarce_pilots"].to_dict(),
            "nominal_siso": SCENARIOS["nominal_siso"].replace(coderate=None).to_dict(),
        },
        "ebno_db": 10.0,
        "num_slots": 32 if quick else 256,
        "slots_at_once": 16 if quick else 64,
        "search_slots": 0 if quick else 64,
        "rates": RATES,
        "steps": STEPS,
        "scratch": dict(list(SCRATCH.items())[3:4] if quick else SCRATCH),
        "warm": WARM,
        "no_refit": {} if quick else NO_REFIT,
        "others": {} if quick else OTHERS,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Search rates and steps, then count bit errors on other slots, the same for all methods."""
    data: dict[str, Any] = {"searched": {}}
    times: dict[str, Any] = {}
    shared = {n: settings[n] for n in ("ebno_db", "slots_at_once")} | {"seed": seed}
    keys = []
    for name in settings["scenarios"]:
        key = {**shared, "scenario": name}
        methods = {**settings["scratch"], **settings["warm"]}
        found: dict[str, dict[str, Any]] = {label: {} for label in methods}
        if settings["search_slots"]:
            found = search(
                methods, settings["rates"], settings["steps"],
                key={**key, "num_slots": settings["search_slots"]}, measure=measure, parts=parts,
            )  # fmt: skip
            data["searched"][name] = found
        tuned = {label: methods[label] | _without_change(found[label]) for label in methods}
        bare = _without_change(found["adam, from scratch"])
        groups = (
            {label: tuned[label] for label in settings["scratch"]},
            {label: tuned[label] for label in settings["warm"]}
            | {label: {**options, **bare} for label, options in settings["no_refit"].items()}
            | settings["others"],
        )
        keys += [{**key, "num_slots": settings["num_slots"], "options": each} for each in groups]
    for key, result in zip(keys, in_processes(parts, keys, measure), strict=True):
        data.setdefault(key["scenario"], {}).update(result["errors"])
        speeds = times.setdefault(key["scenario"], {})
        for label, seconds in result["seconds"].items():
            speeds[label] = {"seconds": seconds, "ratio": seconds / result["seconds"][FIXED]}
    return Result(data, times)


def _without_change(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "change"}


def measure(key: Mapping[str, Any]) -> dict[str, Any]:
    """Bit errors in every slot, and seconds a slot, of fixed poles and of training methods."""
    link = Link(SCENARIOS[key["scenario"]].replace(coderate=None))
    config.seed = 0
    equalizer = FixedPoleEqualizer(
        link.resource_grid, link.stream_management, poles=placements.ring(NUM_POLES, RADIUS),
        window=0, readout=Ridge(), l_min=link.l_min,
    )  # fmt: skip

    def fixed(slots: Slots) -> Any:
        return link.demap(*equalizer(slots.y_time, slots.no))

    receivers = {FIXED: fixed} | {
        label: RECEIVERS["bptt"].build(link, **options) for label, options in key["options"].items()
    }
    counts, seconds = count_errors(
        link, receivers, ebno_db=[key["ebno_db"]], num_slots=key["num_slots"],
        slots_at_once=key["slots_at_once"], seed=key["seed"],
    )  # fmt: skip
    result = {"counts": counts}
    errors = {label: bits_of_all(result, label) for label in counts}
    return {"errors": errors, "seconds": seconds, "bits": link.bits_per_slot}


def present(record: Record) -> Presentation:
    """Write a table for each scenario."""
    tables = []
    for name, errors in _ordered(record).items():
        rows = [[f"{name}", "BER", "BER over fixed [95 %]", "time over fixed"]]
        bits = _bits(record, name)
        fixed = Point(np.array(errors[FIXED]), bits)
        for label in errors:
            ours = Point(np.array(errors[label]), bits)
            found = ratio(ours, fixed)
            interval = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
            rows.append([label, f"{ours.rate:.2e}", "" if label == FIXED else interval,
                         f"{record.times[name][label]['ratio']:.1f}"])  # fmt: skip
        tables.append(aligned(rows))
    if record.data["searched"]:
        tables.append(_search_table(record))
    return Presentation(_caption(record), table="\n\n".join(tables))


def _search_table(record: Record) -> str:
    rows = [["found on other slots", "scenario", "rate", "steps", "change by twice as many"]]
    for name in ("scarce_pilots", "nominal_siso"):
        for label in (*SCRATCH, *WARM):
            found = record.data["searched"][name][label]
            change = found["change"]
            rows.append([
                label, name, f"{found['learning_rate']:g}", str(found["num_steps"]),
                "not tried" if change is None or np.isnan(change) else f"{100 * change:+.1f} %",
            ])  # fmt: skip
    return aligned(rows)


def _ordered(record: Record) -> dict[str, dict[str, list[int]]]:
    """Scenario -> label -> errors in the order of this file: JSON has none."""
    labels = (FIXED, *SCRATCH, *NO_REFIT, *WARM, *OTHERS)
    return {
        name: {label: record.data[name][label] for label in labels if label in record.data[name]}
        for name in ("scarce_pilots", "nominal_siso")
    }


def _bits(record: Record, name: str) -> int:
    scenario = Scenario.from_dict(record.settings["budget"]["scenarios"][name])
    return scenario.num_streams * scenario.num_coded_bits


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    best = []
    for name, errors in _ordered(record).items():
        fixed = Point(np.array(errors[FIXED]), _bits(record, name))
        rates = {
            label: ratio(Point(np.array(errors[label]), fixed.per_slot), fixed)
            for label in errors if label in budget["scratch"]
        }  # fmt: skip
        label = min(rates, key=lambda each: rates[each].value)
        found, slow = rates[label], record.times[name][label]["ratio"]
        best.append(
            f"{name}: {label}, {found.value:.2f} [{found.low:.2f}, {found.high:.2f}] times the bit "
            f"errors in {slow:.0f} times the time"
        )
    searched = "Rates and steps as in the receivers' defaults"
    if budget["search_slots"]:
        searched = (
            f"Rates and steps were searched on {budget['search_slots']} other slots of the same "
            "scenario: the rate with the fewest errors, then twice the steps until that changes "
            "less than 5 %"
        )
    text = f"""\
        What learning the poles costs and brings in a slot. {NUM_POLES} poles an antenna and no
        delay
        line, uncoded, Eb/N0 {budget["ebno_db"]:g} dB, {budget["num_slots"]} slots, the same for
        all. Fixed: a ring of radius {RADIUS:g}, a ridge regression with the known noise variance.
        Learnt: poles and input weights trained on the slot's pilots, a fifth of them held out to
        stop, then the same regression on all pilots ("no refit": without it). {searched}. Ratios
        with their paired 95 % interval over slots. Time: median over batches of
        {budget["slots_at_once"]} slots after the first, both in one process on one thread. The
        gradient method from scratch
        with the fewest errors, chosen in hindsight: {"; ".join(best)}. Seed
        {record.settings["seed"]}."""
    return textwrap.fill(" ".join(text.split()), 100)
