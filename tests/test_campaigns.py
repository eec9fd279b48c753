"""Monte-Carlo campaigns: what the README claims for the presets, on slots of their own."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config

from sims.link import Link
from sims.receivers import RECEIVERS
from sims.scenario import SCENARIOS
from sims.statistics import Point, error_rate, gain

pytestmark = pytest.mark.slow

SLOTS_AT_ONCE = 50
LEAST_SQUARES = ("ls_lin", "ls_lin_time_avg")


@functools.cache
def simulate(preset, receivers, ebno_dbs, num_slots, changes=()):
    """Receiver -> Eb/N0 -> (bit errors, block errors), a Point each, all on the same slots."""
    link = Link(SCENARIOS[preset].replace(**dict(changes)))
    built = {
        name: tf.function(RECEIVERS[name].build(link, **dict(options)), autograph=False)
        for name, options in receivers
    }
    counts = {name: {ebno_db: [] for ebno_db in ebno_dbs} for name in built}
    for ebno_db in ebno_dbs:
        for start in range(0, num_slots, SLOTS_AT_ONCE):
            config.seed = 7_000_000 + start
            slots = link.transmit(SLOTS_AT_ONCE, ebno_db)
            for name, receive in built.items():
                counts[name][ebno_db].append(link.count(slots, receive(slots)))
    per_slot = link.bits_per_slot, link.blocks_per_slot
    return {
        name: {
            ebno_db: tuple(
                Point(np.concatenate(errors), size)
                for errors, size in zip(zip(*parts, strict=True), per_slot, strict=True)
            )
            for ebno_db, parts in points.items()
        }
        for name, points in counts.items()
    }


def least_gain(preset, ebno_dbs, num_slots):
    """Gain of the default receiver at BLER 10 % over each least-squares receiver; the smaller."""
    names = tuple((name, ()) for name in ("fixed_pole", *LEAST_SQUARES))
    found = simulate(preset, names, ebno_dbs, num_slots)
    curves = {
        name: {ebno_db: blocks for ebno_db, (_, blocks) in points.items()}
        for name, points in found.items()
    }
    gains = [gain(0.1, curves["fixed_pole"], curves[name]) for name in LEAST_SQUARES]
    return min(gains, key=lambda estimate: estimate.value)


def test_no_error_floor_behind_a_short_prefix():
    receivers = (("fixed_pole", (("window", 32), ("delay", 16))), ("ls_lin", ()))
    receivers += (("ls_lin_time_avg", ()),)
    found = simulate("short_cp", receivers, (26.0,), 300, (("coderate", None),))
    ber = {name: error_rate(*_of(points[26.0][0])).value for name, points in found.items()}
    assert ber["fixed_pole"] <= 1e-3
    assert ber["fixed_pole"] <= min(ber[name] for name in LEAST_SQUARES) / 20


def test_gain_with_a_short_prefix():
    found = least_gain("short_cp", (4.0, 5.0, 6.0, 7.0, 8.0, 9.0), 600)
    assert found.value >= 1.5, found
    assert (found.high - found.low) / 2 <= 0.4, found


def test_gain_with_a_sufficient_prefix():
    found = least_gain("nominal_siso", (6.0, 7.0, 8.0, 9.0, 10.0, 11.0), 600)
    assert found.value >= 1.2, found
    assert (found.high - found.low) / 2 <= 0.4, found


def _of(point):
    return point.errors, point.per_slot
