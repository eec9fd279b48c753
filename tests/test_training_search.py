"""The search for learning rates: its slots, its score, and the check of a budget."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config

from sims.training import search

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def cases():
    return search.cases(3, {"scarce_pilots": 5.0, "awgn": 5.0})


def wrong_once_in(period):
    """A receiver that gets every so-manieth bit wrong."""

    def receive(slots):
        signs = 2 * slots.coded_bits - 1
        position = tf.range(tf.shape(signs)[-1]) % period == 0
        return tf.where(position, -signs, signs)

    return receive


def test_slots_repeat_and_leave_the_random_stream_alone(cases):
    config.seed = 5
    before = config.tf_rng.state.numpy()
    again = search.cases(3, {"awgn": 5.0})
    np.testing.assert_array_equal(config.tf_rng.state, before)
    np.testing.assert_array_equal(again["awgn"].slots.y_time, cases["awgn"].slots.y_time)


def test_rates_are_the_shares_of_wrong_bits(cases):
    rates = search.search(lambda link, value: wrong_once_in(value), [2, 8], cases)
    for value in (2, 8):
        np.testing.assert_allclose(list(rates[value].values()), 1 / value, rtol=1e-2)
    assert search.best(rates) == 8


def test_doubling_compares_twice_the_steps(cases):
    """Bit errors that fall as the steps grow: half of them at twice the steps."""
    change = search.change_by_doubling(lambda link, steps: wrong_once_in(steps), 4, cases)
    np.testing.assert_allclose(change, -0.5, atol=1e-3)
