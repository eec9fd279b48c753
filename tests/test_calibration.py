"""An LLR must mean what it says: the error rate of bits with |L| is 1 / (1 + exp(|L|))."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from sionna.phy import config

from sims.link import Link
from sims.receivers import RECEIVERS
from sims.scenario import SCENARIOS

NUM_SLOTS, SLOTS_AT_ONCE = 128, 64


link_of = functools.cache(lambda preset: Link(SCENARIOS[preset]))


@functools.cache
def receiver(name, preset):
    return RECEIVERS[name].build(link_of(preset))


@functools.cache
def slots_of(preset, ebno_db, start):
    config.seed = 1000 + start
    return link_of(preset).transmit(SLOTS_AT_ONCE, ebno_db)


def bins(name, preset, ebno_db):
    """Measured over stated error rate of every unit bin of |L| with enough errors and slots."""
    receive, sizes, wrong, slots = receiver(name, preset), [], [], []
    for start in range(0, NUM_SLOTS, SLOTS_AT_ONCE):
        sent = slots_of(preset, ebno_db, start)
        llr = receive(sent).numpy()
        sizes.append(np.abs(llr).reshape(SLOTS_AT_ONCE, -1))
        wrong.append(((llr > 0) != (sent.coded_bits.numpy() > 0.5)).reshape(SLOTS_AT_ONCE, -1))
        slots.append(np.full(sizes[-1].shape, start) + np.arange(SLOTS_AT_ONCE)[:, None])
    size, error, slot = (np.concatenate(part).ravel() for part in (sizes, wrong, slots))
    ratios = []
    for low in range(40):
        inside = (size >= low) & (size < low + 1)
        if error[inside].sum() >= 100 and len(np.unique(slot[inside & error])) >= 50:
            ratios.append(error[inside].mean() / np.mean(1 / (1 + np.exp(size[inside]))))
    return np.array(ratios)


# Up to twice the error that is there, where the estimate before it is believed as it should be
OVERSTATED = pytest.mark.xfail(reason="the Wiener equalizer overstates its error at 300 km/h")
CASES = [
    pytest.param(
        name,
        preset,
        ebno_db,
        marks=[OVERSTATED] if (name, preset, ebno_db) == ("wiener", "high_speed", 9.0) else [],
    )
    for name, presets in {
        "fixed_pole": ("nominal_2x2", "short_cp"),
        "wiener": ("nominal_2x2", "short_cp", "high_speed"),
        "auto": ("short_cp", "high_speed"),
    }.items()
    for preset in presets
    for ebno_db in {"nominal_2x2": (4.0, 9.0), "short_cp": (4.0, 10.0), "high_speed": (4.0, 9.0)}[
        preset
    ]
]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("name", "preset", "ebno_db"), CASES)
def test_llrs_are_calibrated(name, preset, ebno_db):
    ratios = bins(name, preset, ebno_db)
    assert len(ratios) >= 5
    assert np.all((ratios > 1 / 1.5) & (ratios < 1.5)), ratios
