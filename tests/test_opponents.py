"""The experiments on training: their task, their measures, and their worker processes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import lfilter

from rx_fixedpole import poles, theory
from sims.experiments import (
    EXPERIMENTS,
    equalization,
    phase_diagram,
    phase_tables,
    scarce_search,
    training_dynamics,
)
from sims.experiments.flops import flops_fixed, flops_learnt
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts
from sims.experiments.slots import count_errors
from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.scenario import SCENARIOS
from tests.workers import doubled, environment, errors_of

pytestmark = pytest.mark.tensorflow_only

START = equalization.WARM_UP


def draw(seeds, snr_db, **options):
    options = dict(num_pilots=40, delay=2) | options
    return equalization.draw(np.array(seeds), np.array(snr_db), **options)


# --- the task ----------------------------------------------------------------------------------


def test_a_slot_depends_on_its_seed_alone():
    together, alone = draw([5, 9], [0.0, 20.0]), draw([9], [20.0])
    np.testing.assert_array_equal(together.u[1], alone.u[0])
    np.testing.assert_array_equal(together.x[1], alone.x[0])


@pytest.mark.parametrize("real", [False, True])
def test_received_power_is_that_of_signal_and_noise(real):
    slots = draw(range(200), np.full(200, 3.0), real=real)
    assert np.all(slots.u.imag == 0) == real
    np.testing.assert_allclose(np.mean(np.abs(slots.x) ** 2), 1, rtol=1e-12)
    np.testing.assert_allclose(np.mean(np.abs(slots.u) ** 2), 1 + slots.no[0], rtol=0.02)


def test_symbols_and_samples_are_aligned_by_the_delay():
    """The sample `delay` later is the first to hold a symbol's strongest tap, in the mean."""
    slots = draw(range(300), np.full(300, 40.0), delay=3)
    sent = slots.x[:, 50:-50].conj()
    lags = [
        np.mean(np.abs(np.mean(slots.u[:, 50 + lag : -50 + lag] * sent, axis=1)) ** 2)
        for lag in (-4, -3, -2, 0)
    ]
    assert lags[1] > lags[2] > lags[3] > 10 * lags[0]


def test_fixed_poles_against_dense_least_squares():
    slots, ring = draw([3, 4], [10.0, 20.0]), poles.ring(5, 0.7)
    weights = equalization.fixed_trainer(ring)(slots.training())
    found = equalization.fixed_error(slots, ring, weights)
    losses = equalization.fixed_loss(slots, ring)
    for b in range(2):
        # Takenaka-Malmquist features, one all-pass after the other
        passed, columns = slots.u[b, :, 0], []
        for p in ring:
            columns.append(lfilter([np.sqrt(1 - abs(p) ** 2)], [1, -p], passed))
            passed = lfilter([-np.conj(p), 1], [1, -p], passed)
        features, x, no = np.stack(columns, axis=1), slots.x[b, :, 0], slots.no[b]
        pilots, data = slice(START, START + 40), slice(START + 40, None)
        augmented = np.concatenate([features[pilots], np.sqrt(no) * np.eye(5)])
        solution, *_ = np.linalg.lstsq(augmented, np.append(x[pilots], np.zeros(5)), rcond=None)
        errors = np.abs(x - features @ solution) ** 2
        np.testing.assert_allclose(found[b], errors[data].mean(), rtol=1e-4)
        loss = (errors[pilots].sum() + no * np.sum(np.abs(solution) ** 2)) / 40
        np.testing.assert_allclose(losses[b], loss, rtol=1e-9)


def test_first_poles_of_a_slot_do_not_depend_on_the_others():
    few, many = (equalization.random_banks(3, 0.7, count, 1) for count in (2, 4))
    for a, b in zip(tf.nest.flatten(few), tf.nest.flatten(many), strict=True):
        np.testing.assert_array_equal(a, b[:2])
        assert not np.array_equal(b[0], b[1]) or np.all(b == b[0])


# --- the measures ------------------------------------------------------------------------------


def test_condition_of_the_hessian_is_that_of_theory():
    """For an impulse and pilots without end, of a dense matrix with known eigenvalues."""
    rng = np.random.default_rng(3)
    placed, mix = poles.disc(3, 0.8, seed=2), rng.normal(size=(2, 3, 3)) @ np.eye(3)
    vectors = mix[0] + 1j * mix[1]
    matrix = vectors @ np.diag(placed) @ np.linalg.inv(vectors)
    inputs, readout = rng.normal(size=3) + 0j, rng.normal(size=3) + 0j
    gains = (inputs @ vectors) * np.linalg.solve(vectors, readout)
    impulse = np.zeros(START + 600)
    impulse[START] = 1
    found = training_dynamics._hessian_condition(impulse, matrix, inputs, readout)
    np.testing.assert_allclose(found, theory.condition_number(placed, gains), rtol=1e-6)


def test_pilots_to_an_error_are_interpolated_on_logarithmic_scales():
    counts = [32, 64, 128]
    errors = np.log([4.0, 2.0, 1.0])  # inversely proportional to the pilots
    assert phase_tables._pilots_at(np.log(128 / 100), counts, errors) == "100"
    assert phase_tables._pilots_at(np.log(4.0), counts, errors) == "< 32"
    assert phase_tables._pilots_at(np.log(0.9), counts, errors) == "> 128"
    # A curve that rises again has not fallen for good.
    assert phase_tables._pilots_at(np.log(3.0), counts, np.log([1.0, 4.0, 2.0])) == "85"


def test_log_ratios_are_paired():
    rng = np.random.default_rng(0)
    fixed = 10 ** rng.normal(size=(1, 1, 1, 20))  # slots differ by orders of magnitude
    errors = {"fixed": fixed, "scratch": fixed * 10 ** (0.1 + 0.01 * rng.normal(size=fixed.shape))}
    mean, half = phase_diagram.log_ratios(errors, "scratch")
    assert abs(mean[0, 0, 0] - 0.1) < 2 * half[0, 0, 0] < 0.02


def test_operations_grow_with_what_is_done():
    scenario = SCENARIOS["nominal_siso"]
    counts = [flops_fixed(scenario, resolve("fixed_pole", {"num_poles": k})) for k in (4, 8, 16)]
    assert counts == sorted(counts)
    once, twice = (flops_learnt(scenario, resolve("bptt", {"num_steps": n})) for n in (100, 200))
    assert counts[1] < once < twice < 2 * once
    assert flops_learnt(scenario, resolve("varpro")) is None
    more = scenario.replace(pilot_symbols=[2, 5, 8, 11])
    assert flops_fixed(more, resolve("fixed_pole")) > counts[1]


def test_counts_are_those_of_the_link_one_receiver_or_two():
    link = Link(SCENARIOS["scarce_pilots"])
    built = {name: RECEIVERS[name].build(link) for name in ("window", "ls_lin")}
    options = dict(ebno_db=[4.0, 8.0], num_slots=8, slots_at_once=4, seed=1)
    both, seconds = count_errors(link, built, **options)
    alone, _ = count_errors(link, {"ls_lin": built["ls_lin"]}, **options)
    assert both["ls_lin"] == alone["ls_lin"] and both["window"] != both["ls_lin"]
    assert [len(point["bits"]) for point in both["window"]] == [8, 8]
    assert all(time > 0 for time in seconds.values())


# --- worker processes --------------------------------------------------------------------------


def test_parts_come_in_order_and_are_computed_once(tmp_path):
    keys = [{"value": v, "folder": str(tmp_path)} for v in (3, 1, 2)]
    parts = Parts(tmp_path / "x.parts.jsonl", {"seed": 0})
    parts.put(keys[1], 100)  # there already
    assert in_processes(parts, keys, doubled, workers=2) == [6, 100, 4]
    again = Parts(tmp_path / "x.parts.jsonl", {"seed": 0})
    assert in_processes(again, keys, doubled, workers=2) == [6, 100, 4]
    assert sorted(p.name for p in tmp_path.glob("ran*")) == ["ran-2", "ran-3"]


def test_a_search_finds_the_rate_and_raises_the_steps_until_they_are_enough(tmp_path):
    parts = Parts(tmp_path / "x.parts.jsonl", {"seed": 0})
    found = scarce_search.search(
        {"a": {}, "b": {}}, {"a": [0.01, 0.03, 0.1], "b": [0.1, 0.03]}, [200, 400, 800],
        key={"seed": 0}, measure=errors_of, parts=parts,
    )  # fmt: skip
    assert found["a"] == found["b"] == {"learning_rate": 0.03, "num_steps": 400, "change": 0.0}


def test_steps_that_are_never_enough_are_said_to_be():
    found = scarce_search.enough([200, 400, 800], [100, 80, 60])
    assert found["num_steps"] == 800 and np.isnan(found["change"])


def test_a_worker_has_one_thread(tmp_path):
    # With more, processes wait for each other's BLAS threads: ten times the time was seen.
    parts = Parts(tmp_path / "x.parts.jsonl", {"seed": 0})
    (found,) = in_processes(parts, [{"names": ["OPENBLAS_NUM_THREADS"]}], environment, workers=1)
    assert found == ["1"]


def test_a_part_that_fails_does_not_take_the_others_along(tmp_path):
    keys = [{"value": v, "folder": str(tmp_path)} for v in (1, -1)]
    parts = Parts(tmp_path / "x.parts.jsonl", {"seed": 0})
    with pytest.raises(ValueError, match="negative"):
        in_processes(parts, keys, doubled, workers=1)
    assert parts[keys[0]] == 2 and keys[1] not in parts


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_twice_gives_the_same_numbers(name, tmp_path):
    first, second = (
        EXPERIMENTS[name].run(tmp_path / folder, quick=True, seed=0) for folder in "ab"
    )
    assert first.record.data == second.record.data
    assert all(path.stat().st_size > 0 for path in first.paths)
