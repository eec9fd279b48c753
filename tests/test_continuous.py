"""Channel estimates over several slots in a row."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import ContinuousChannelEstimator, FixedPoleChannelEstimator
from sims.experiments import continuous

NO = 0.1


@pytest.fixture(scope="module")
def grid() -> ResourceGrid:
    return ResourceGrid(
        4,
        32,
        30e3,
        cyclic_prefix_length=8,
        pilot_pattern="kronecker",
        pilot_ofdm_symbol_indices=[1],
    )


def slots(grid: ResourceGrid, count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grids ``[count, B, R, A, M, fft]`` of pilots through a standing channel, and the channel."""
    rng = np.random.default_rng(seed)
    size, symbols = int(grid.fft_size), int(grid.num_ofdm_symbols)
    shape = (2, 1, 2, 3)
    taps = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    k = np.arange(size) - size // 2
    h = taps @ np.exp(-2j * np.pi * np.outer([0, 1.5, 3], k) / size) / np.sqrt(6)
    x = np.ones((symbols, size), np.complex128)
    x[1] = np.asarray(grid.pilot_pattern.pilots).reshape(-1)
    noise = rng.standard_normal((2, count, *h.shape[:3], symbols, size))
    y = h[..., None, :] * x + np.sqrt(NO / 2) * (noise[0] + 1j * noise[1])
    return y.astype(np.complex64), h


def error(h_hat: tf.Tensor, h: np.ndarray) -> float:
    return float(np.mean(np.abs(h_hat.numpy()[:, :, :, 0, 0] - h[..., None, :]) ** 2))


def test_the_first_slot_is_that_of_the_plain_estimator(grid: ResourceGrid) -> None:
    y, _ = slots(grid, 1)
    h_hat, err_var, state = ContinuousChannelEstimator(grid, num_slots=2)(tf.constant(y[0]), NO)
    plain = FixedPoleChannelEstimator(grid)(tf.constant(y[0]), NO)
    np.testing.assert_allclose(h_hat, plain[0], atol=1e-5)
    np.testing.assert_allclose(err_var, plain[1], atol=1e-6)
    np.testing.assert_array_equal(state, y[0])


def test_slots_before_help_while_the_channel_stands(grid: ResourceGrid) -> None:
    y, h = slots(grid, 4)
    estimator, state, errors = ContinuousChannelEstimator(grid, num_slots=3), None, []
    for slot in y:
        h_hat, err_var, state = estimator(tf.constant(slot), NO, state)
        assert h_hat.shape == (2, 1, 2, 1, 1, 4, 32) and err_var.shape == (2, 1, 1, 1, 1, 4, 32)
        errors.append(error(h_hat, h))
    assert errors[2] < 0.6 * errors[0]
    np.testing.assert_array_equal(state, np.concatenate(y[2:], axis=-2))


def test_the_state_alone_carries_the_past(grid: ResourceGrid) -> None:
    y, _ = slots(grid, 2)
    estimator = ContinuousChannelEstimator(grid, num_slots=2)
    state = estimator(tf.constant(y[0]), NO)[2]
    first = estimator(tf.constant(y[1]), NO, state)[0]
    estimator(tf.constant(y[0]), NO)
    np.testing.assert_array_equal(estimator(tf.constant(y[1]), NO, state)[0], first)


def test_a_graph_gives_the_same(grid: ResourceGrid) -> None:
    y, _ = slots(grid, 2)
    estimator = ContinuousChannelEstimator(grid, num_slots=2)
    eager = estimator(tf.constant(y[1]), NO, tf.constant(y[0]))
    graph = tf.function(estimator)(tf.constant(y[1]), NO, tf.constant(y[0]))
    for a, b in zip(eager, graph, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_does_not_belong_is_refused(grid: ResourceGrid) -> None:
    with pytest.raises(ValueError, match="num_slots must be >= 1, got 0"):
        ContinuousChannelEstimator(grid, num_slots=0)
    with pytest.raises(ValueError, match="options must be among l_min.*got 'lmin'"):
        ContinuousChannelEstimator(grid, options={"lmin": 0})
    y = tf.zeros([1, 1, 1, 4, 32], tf.complex64)
    estimator = ContinuousChannelEstimator(grid, num_slots=2)
    for symbols in (3, 8):
        with pytest.raises(ValueError, match="state must be what the last call returned"):
            estimator(y, NO, tf.zeros([1, 1, 1, symbols, 32], tf.complex64))


def test_the_experiment_pairs_its_slots() -> None:
    results = continuous.run(speed=3.0, ebno_db=5.0, num_slots=(1, 2), trials=12)
    assert results.error.shape == results.bit_errors.shape == (2, 12)
    assert results.error[1].mean() < results.error[0].mean()
    assert continuous.table(results).count("\n") == 2
