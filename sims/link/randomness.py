"""Drawing aside, without moving Sionna's random stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from sionna.phy import config


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Lets everything inside draw from a stream of its own, and restores Sionna's afterwards."""
    generator = config.tf_rng
    before = tf.identity(generator.state)
    generator.reset_from_seed(seed)
    try:
        yield
    finally:
        generator.reset(before)
