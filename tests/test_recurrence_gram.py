"""Gram matrices and moments without features, against products of scipy.signal's features."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from rx_fixedpole import _backend, layers, recurrence
from rx_fixedpole.recurrence import BASES
from tests.modes import MODES, assert_close, complex_normal, in_mode, numpy
from tests.oracles import bank_states, driven_states

B, T, N, S = 2, 75, 2, 3
# Two equal poles, one at zero, one near the circle: nothing here needs them apart.
POLES = np.array([0.6 + 0.5j, -0.9j, 0, 0.6 + 0.5j, -0.97])
K = len(POLES)
U = complex_normal(0, B, T, N)
INPUT_WEIGHTS = complex_normal(1, K, N)
CASES = {
    "parallel": {"basis": "parallel"},
    "orthonormal": {"basis": "orthonormal"},
    "driven": {"input_weights": INPUT_WEIGHTS},
}
WINDOWS = {
    "all": None,
    "first": [(0, 31)],
    "inner": [(20, 60)],
    "last": [(T - 1, T)],
    "second": [(1, 2)],
    "three": [(0, 3), (30, 47), (70, T)],
    "adjacent": [(4, 16), (16, 18), (19, 40)],
    "in one chunk": [(33, 35), (37, 38), (40, 41)],
}


@pytest.fixture(params=sorted(CASES))
def case(request):
    return request.param


def picked(x, windows):
    """Return the samples of the windows, one after another."""
    windows = [(0, x.shape[1])] if windows is None else windows
    return np.concatenate([x[:, first:stop] for first, stop in windows], axis=1)


def features(case, u, windows, window):
    """Return the states and, behind them, lag w of input n in column ``n window + w``."""
    if case == "driven":
        columns = [driven_states(u, POLES, INPUT_WEIGHTS)]
    else:
        columns = [bank_states(u, POLES, case)]
    for n in range(u.shape[-1]):
        for w in range(window):
            lag = np.zeros(u.shape[:2], np.complex128)
            lag[:, w:] = u[:, : max(0, u.shape[1] - w), n]
            columns.append(lag[..., None])
    return picked(np.concatenate(columns, axis=-1), windows)


def product(f, x):
    return np.swapaxes(f.conj(), 1, 2) @ x


@pytest.mark.parametrize("window", [0, 1, 7])
@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_gram_matrix_and_moment_are_those_of_the_features(case, windows, window):
    f = features(case, U, windows, window)
    targets = complex_normal(2, B, f.shape[1], S)
    options = {"windows": windows, "window": window, **CASES[case]}
    gram, moment = recurrence.gram(U, POLES, targets=targets, **options)
    assert_close(gram, product(f, f), 1e-12)
    assert_close(moment, product(f, targets), 1e-12)
    assert_close(recurrence.gram(U, POLES, **options), product(f, f), 1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [0, 7])
def test_every_mode_gives_the_same(case, window, mode):
    windows = [(0, 3), (20, 43), (60, T)]
    f = features(case, U, windows, window)
    targets = complex_normal(2, B, f.shape[1], S)

    def run(u, targets):
        return recurrence.gram(
            u, POLES, windows=windows, window=window, targets=targets, **CASES[case]
        )

    gram, moment = in_mode(run, mode)(U, targets)
    assert_close(gram, product(f, f), 1e-12)
    assert_close(moment, product(f, targets), 1e-12)


@pytest.mark.parametrize("num_samples", [1, 2, 15, 16, 17, 33])
def test_any_length_with_a_longer_delay_line(case, num_samples):
    u = complex_normal(0, 1, num_samples, N)
    f = features(case, u, None, 20)
    assert_close(recurrence.gram(u, POLES, window=20, **CASES[case]), product(f, f), 1e-12)


def test_features_are_in_the_order_of_the_layer(case):
    f = numpy(layers.FixedPoleRNN(POLES, window=4, dtype="float64", **CASES[case])(U))
    gram = recurrence.gram(U, POLES, windows=[(20, 60)], window=4, **CASES[case])
    f = f[:, 20:60]
    assert_close(gram, product(f, f), 1e-12)


@pytest.mark.parametrize("basis", sorted(BASES))
def test_single_precision_input_gives_double_precision(basis):
    poles = np.array([0.999, 0.999, -0.5j, 0.999j])
    u = complex_normal(0, 1, 5_000, 1, dtype="complex64")
    targets = complex_normal(1, 1, 2_600, 1, dtype="complex64")
    windows = [(100, 1_100), (3_300, 4_900)]
    f = picked(bank_states(u, poles, basis), windows)
    gram, moment = recurrence.gram(u, poles, windows=windows, targets=targets, basis=basis)
    assert numpy(gram).dtype == numpy(moment).dtype == "complex128"
    assert_close(gram, product(f, f), 1e-10)
    assert_close(moment, product(f, targets), 1e-10)


def test_a_gram_matrix_is_hermitian(case):
    gram = numpy(recurrence.gram(U, POLES, windows=[(3, 50)], window=3, **CASES[case]))
    assert_close(gram, np.swapaxes(gram.conj(), 1, 2), 1e-14)


@pytest.mark.tensorflow_only
def test_static_shapes_are_kept_and_an_unknown_batch_accepted(case):
    import tensorflow as tf

    windows = [(5, 9), (40, 60)]
    signature = [tf.TensorSpec([None, n, m], "complex128") for n, m in ((T, N), (24, S))]

    @tf.function(input_signature=signature)
    def run(u, targets):
        options = {"windows": windows, "window": 3, "targets": targets}
        return recurrence.gram(u, POLES, **options, **CASES[case])

    f = features(case, U, windows, 3)
    targets = complex_normal(2, B, 24, S)
    gram, moment = run(tf.constant(U), tf.constant(targets))
    assert_close(gram, product(f, f), 1e-12)
    assert_close(moment, product(f, targets), 1e-12)
    shapes = [tuple(s) for s in run.get_concrete_function().output_shapes]
    assert shapes == [(None, f.shape[-1], f.shape[-1]), (None, f.shape[-1], S)]


def test_the_gradient_is_that_of_the_features():
    """The gradient of sum Re(C G) along a direction is a finite difference."""
    coefficients = ops.convert_to_tensor(complex_normal(3, B, K + 3 * N, K + 3 * N))

    def loss(real, imag):
        u = _backend.complex(real, imag)
        gram = recurrence.gram(u, POLES, windows=[(5, 40)], window=3, input_weights=INPUT_WEIGHTS)
        return ops.sum(ops.real(gram * coefficients))

    parts = [U.real, U.imag]
    direction = [complex_normal(4, B, T, N).real, complex_normal(5, B, T, N).real]
    if keras.backend.backend() == "torch":
        import torch

        tensors = [torch.tensor(x, requires_grad=True) for x in parts]
        gradients = [numpy(g) for g in torch.autograd.grad(loss(*tensors), tensors)]
    else:
        import tensorflow as tf

        tensors = [tf.constant(x) for x in parts]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(*tensors)
        gradients = [g.numpy() for g in tape.gradient(value, tensors)]
    slope = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    ahead, behind = (
        float(numpy(loss(*(x + h * d for x, d in zip(parts, direction, strict=True)))))
        for h in (1e-5, -1e-5)
    )
    assert slope == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"windows": [(9, 9)]}, ValueError, "windows must be ascending pairs"),
        ({"windows": [(0, T + 1)]}, ValueError, "windows must be ascending pairs"),
        ({"windows": [(5, 9), (8, 12)]}, ValueError, "windows must be ascending pairs"),
        ({"windows": [(9, 12), (0, 5)]}, ValueError, "windows must be ascending pairs"),
        ({"windows": []}, ValueError, "windows must hold at least one pair"),
        ({"windows": (20, 60)}, TypeError, r"windows must hold pairs \(start, stop\), got 20"),
        ({"windows": [(1, 2, 3)]}, ValueError, r"windows must hold pairs .*, got \(1, 2, 3\)"),
        ({"windows": [(1.5, 3)]}, TypeError, "windows must be an integer, got 1.5"),
        ({"windows": [(-1, 3)]}, ValueError, "windows must be at least 0, got -1"),
        ({"window": -1}, ValueError, "window must be at least 0, got -1"),
        ({"window": 2.0}, TypeError, "window must be an integer, got 2.0"),
        ({"targets": np.ones((B, T, S))}, TypeError, "targets must be complex64 or complex128"),
        (
            {"windows": [(0, 9)], "targets": complex_normal(0, B, T, S)},
            ValueError,
            r"targets must have shape \[2, 9, S\], got \(2, 75, 3\)",
        ),
        (
            {"input_weights": ops.convert_to_tensor(complex_normal(0, B, K, N))},
            ValueError,
            r"input_weights must have shape \[K, N\], got \(2, 5, 2\)",
        ),
        ({"poles": ops.convert_to_tensor(POLES)}, TypeError, "poles must be an array"),
        ({"u": U.real}, TypeError, "u must be complex64 or complex128"),
        ({"u": U[0]}, ValueError, r"u must have shape \[B, T, N\], got \(75, 2\)"),
    ],
)
def test_errors_say_what_was_wrong(options, error, message):
    with pytest.raises(error, match=message):
        recurrence.gram(**{"u": U, "poles": POLES, **options})
