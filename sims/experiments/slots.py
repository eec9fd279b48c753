"""Receivers on the slots of a link: errors in every slot, and the time a slot takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sionna.phy import config

from sims.link import Link
from sims.receivers import RECEIVERS
from sims.scenario import Scenario
from sims.statistics import Point

Counts = dict[str, list[dict[str, list[int]]]]


def count_errors(
    link: Link,
    receivers: Mapping[str, Callable[..., tf.Tensor]],
    *,
    ebno_db: list[float],
    num_slots: int,
    slots_at_once: int,
    seed: int,
) -> tuple[Counts, dict[str, float]]:
    """Count the errors of receivers on the same slots.

    Args:
        link: where the slots come from.
        receivers: label -> (slots -> llr).
        ebno_db: points.
        num_slots: slots at every point, a multiple of `slots_at_once`.
        slots_at_once: batch size; part of what the slots are.
        seed: of the slots; the receivers draw nothing from it.

    Returns:
        Label -> for every point the "bits" and "blocks" in error in each slot, and label ->
        seconds a slot: the median over calls but the first, which compiles; decoding left out.
    """
    compiled = {label: tf.function(run, autograph=False) for label, run in receivers.items()}
    counts: Counts = {label: [] for label in receivers}
    calls: dict[str, list[float]] = defaultdict(list)
    for point, ebno in enumerate(ebno_db):
        for label in receivers:
            counts[label].append({"bits": [], "blocks": []})
        for start in range(0, num_slots, slots_at_once):
            config.seed = 1_000_000 * (seed + 1) + 1000 * point + start // slots_at_once
            slots = link.transmit(slots_at_once, ebno)
            for label, receive in compiled.items():
                begin = time.perf_counter()
                llr = receive(slots)
                llr.numpy()
                calls[label].append((time.perf_counter() - begin) / slots_at_once)
                bits, blocks = link.count(slots, llr)
                counts[label][-1]["bits"] += bits.tolist()
                counts[label][-1]["blocks"] += blocks.tolist()
    return counts, {label: float(np.median(times[1:])) for label, times in calls.items()}


def measure(key: Mapping[str, Any]) -> dict[str, Any]:
    """Count the errors of receivers of the laboratory, for a worker process.

    Args:
        key: "scenario" (fields), "receivers" (name -> options), and the arguments of
            `count_errors`.
    """
    link = Link(Scenario.from_dict(key["scenario"]))
    config.seed = 0  # a receiver's own constants do not depend on when it was built
    receivers = {
        name: RECEIVERS[name].build(link, **options) for name, options in key["receivers"].items()
    }
    names = ("ebno_db", "num_slots", "slots_at_once", "seed")
    counts, seconds = count_errors(link, receivers, **{name: key[name] for name in names})
    sizes = {"bits": link.bits_per_slot, "blocks": link.blocks_per_slot}
    return {"counts": counts, "seconds": seconds, "sizes": sizes}


def points(result: Mapping[str, Any], label: str, unit: str) -> list[Point]:
    """The errors of a receiver at every point; `unit` is "bits" or "blocks"."""
    return [
        Point(np.array(found[unit], np.int64), result["sizes"][unit])
        for found in result["counts"][label]
    ]


def bits_of_all(result: Mapping[str, Any], label: str) -> NDArray[np.int64]:
    """Bit errors of a receiver in the slots of all points, one after the other."""
    return np.concatenate([np.array(found["bits"]) for found in result["counts"][label]])
