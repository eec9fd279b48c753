"""The three ways a numeric function runs on TensorFlow; elsewhere there is one."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

MODES = [
    "eager",
    pytest.param("graph", marks=pytest.mark.tensorflow_only),
    pytest.param("xla", marks=pytest.mark.tensorflow_only),
]


def in_mode(fn, mode):
    """Return a function of arrays that runs ``fn`` in the given mode and gives NumPy arrays."""
    if mode != "eager":
        import tensorflow as tf

        fn = tf.function(fn, jit_compile=mode == "xla", autograph=False)

    def run(*args):
        result = fn(*(keras.ops.convert_to_tensor(a) for a in args))
        return keras.tree.map_structure(keras.ops.convert_to_numpy, result)

    return run


@contextlib.contextmanager
def without_graphs():
    """Run even what the package compiles by itself op by op, on TensorFlow."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def complex_normal(seed, *shape, dtype="complex128"):
    """Return circular Gaussian numbers: no symmetry in them hides a missing conjugate."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def assert_close(actual, expected, tolerance):
    """Compare relative to the largest expected value, or to one where all are smaller."""
    expected = numpy(expected)
    allowed = tolerance * max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(numpy(actual), expected, rtol=0, atol=allowed)
