"""Banks of poles against scipy.signal.lfilter in complex128."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from rx_fixedpole import _backend, recurrence
from rx_fixedpole.recurrence import BASES
from tests.modes import MODES, assert_close, complex_normal, in_mode, numpy
from tests.oracles import bank_states, driven_states, takenaka_malmquist_sequences, tolerance

B, T, N, S = 2, 75, 2, 3
# Two equal poles, one at zero, one near the circle: nothing here needs them apart.
POLES = np.array([0.6 + 0.5j, -0.9j, 0, 0.6 + 0.5j, -0.97])
K, GAIN = len(POLES), 1 / (1 - 0.97)
U = complex_normal(0, B, T, N)
INPUT_WEIGHTS = complex_normal(1, K, N)
CASES = {
    "parallel": {"basis": "parallel"},
    "orthonormal": {"basis": "orthonormal"},
    "driven": {"input_weights": INPUT_WEIGHTS},
}


def expected_states(case, u, poles=POLES):
    if case == "driven":
        return driven_states(u, poles, INPUT_WEIGHTS)
    return bank_states(u, poles, case)


@pytest.fixture(params=sorted(CASES))
def case(request):
    return request.param


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_states_and_output_are_the_filters(case, mode, dtype):
    expected = expected_states(case, U)
    weights = complex_normal(2, B, expected.shape[-1], S, dtype=dtype)
    initial = complex_normal(3, B, expected.shape[-1], dtype=dtype)

    def run(u, weights, initial):
        states = recurrence.states(u, POLES, **CASES[case])
        own = recurrence.output(u, POLES, weights, **CASES[case])
        shared = recurrence.output(u, POLES, weights[0], **CASES[case])
        moved = recurrence.output(u, POLES, weights, initial_state=initial, **CASES[case])
        return states, own, shared, moved

    states, own, shared, moved = in_mode(run, mode)(U.astype(dtype), weights, initial)
    assert states.dtype == own.dtype == dtype
    assert_close(states, expected, tolerance(dtype, GAIN))
    assert_close(own, expected @ weights, tolerance(dtype, GAIN))
    assert_close(shared, expected @ weights[0], tolerance(dtype, GAIN))
    # The initial state adds A^(n+1) s[-1], whatever the input.
    free = recurrence.states(0 * U, POLES, initial_state=initial, **CASES[case])
    assert_close(moved - own, numpy(free) @ weights, tolerance(dtype, GAIN))


@pytest.mark.parametrize(
    ("batch", "num_samples"), [(1, 1), (3, 2), (3, 16), (1, 17), (3, 31), (1, 32), (3, 33)]
)
def test_any_length_and_batch(case, batch, num_samples):
    u = complex_normal(0, batch, num_samples, N)
    expected = expected_states(case, u)
    weights = complex_normal(2, expected.shape[-1], S)
    y, state = recurrence.output(u, POLES, weights, return_state=True, **CASES[case])
    assert_close(recurrence.states(u, POLES, **CASES[case]), expected, 1e-10)
    assert_close(y, expected @ weights, 1e-10)
    assert_close(state, expected[:, -1], 1e-10)


@pytest.mark.parametrize("split", [1, 16, 40])
def test_a_split_stream_is_the_whole_stream(case, split):
    whole = numpy(recurrence.states(U, POLES, **CASES[case]))
    weights = complex_normal(2, whole.shape[-1], S)
    first, state = recurrence.states(U[:, :split], POLES, return_state=True, **CASES[case])
    second = recurrence.states(U[:, split:], POLES, initial_state=state, **CASES[case])
    assert_close(np.concatenate([numpy(first), numpy(second)], axis=1), whole, 1e-10)
    y1, state = recurrence.output(U[:, :split], POLES, weights, return_state=True, **CASES[case])
    y2 = recurrence.output(U[:, split:], POLES, weights, initial_state=state, **CASES[case])
    assert_close(np.concatenate([numpy(y1), numpy(y2)], axis=1), whole @ weights, 1e-10)


@pytest.mark.parametrize("basis", sorted(BASES))
def test_a_long_single_precision_stream_with_slow_poles(basis):
    angles = np.random.default_rng(5).uniform(0, 2 * np.pi, 7)
    poles = np.append(np.repeat([0.999, 0.9], [3, 4]) * np.exp(1j * angles), 0.999)
    u = complex_normal(0, 1, 15_000, 1, dtype="complex64")
    weights = complex_normal(1, len(poles), 2, dtype="complex64")
    expected = bank_states(u, poles, basis)
    y = numpy(recurrence.output(u, poles, weights, basis=basis))
    error = np.linalg.norm(y - expected @ weights) / np.linalg.norm(expected @ weights)
    assert error < 1e-5
    # Sample by sample the rounding of a pole itself counts, which the powers of an output are
    # spared: they are rounded once from double precision.
    states = recurrence.states(u, poles, basis=basis)
    assert_close(states, expected, tolerance("complex64", 1 / (1 - 0.999)))


@pytest.mark.parametrize("basis", sorted(BASES))
def test_many_poles_take_long_chunks(basis):
    poles = 0.95 * np.exp(2j * np.pi * np.arange(256) / 256)
    u = complex_normal(0, 1, 150, 1)
    weights = complex_normal(1, 256, 1)
    expected = bank_states(u, poles, basis) @ weights
    assert_close(recurrence.output(u, poles, weights, basis=basis), expected, 1e-10)


def test_impulse_responses():
    parallel = recurrence.impulse_response(POLES, 40)
    assert_close(parallel, POLES ** np.arange(40)[:, None], 1e-14)
    orthonormal = recurrence.impulse_response(POLES, 2_000, basis="orthonormal")
    assert_close(orthonormal, takenaka_malmquist_sequences(POLES, 2_000), 1e-12)
    assert_close(orthonormal.conj().T @ orthonormal, np.eye(K), 1e-12)


def test_poles_and_input_weights_of_each_slot():
    poles, weights = 0.8 * complex_normal(4, B, K) / 3, complex_normal(5, B, K, N)
    readout = complex_normal(6, B, K, S)
    tensors = {"input_weights": ops.convert_to_tensor(weights)}
    states = recurrence.states(U, ops.convert_to_tensor(poles), **tensors)
    y = recurrence.output(U, ops.convert_to_tensor(poles), readout, **tensors)
    banks = recurrence.states(U, ops.convert_to_tensor(poles))
    for b in range(B):
        expected = driven_states(U[b : b + 1], poles[b], weights[b])
        assert_close(states[b : b + 1], expected, 1e-10)
        assert_close(y[b : b + 1], expected @ readout[b], 1e-10)
        assert_close(banks[b : b + 1], bank_states(U[b : b + 1], poles[b]), 1e-10)


def test_tensor_poles_may_leave_the_unit_circle():
    u, pole = complex_normal(0, 1, 50, 1), np.array([1.05j])
    states = recurrence.states(u, ops.convert_to_tensor(pole))
    assert_close(states, bank_states(u, pole), 1e-10)


def value_and_gradients(loss, arrays):
    """Return loss(*tensors) and its gradients, by the backend's own machinery."""
    if keras.backend.backend() == "torch":
        import torch

        tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
        value = loss(*tensors)
        return value.item(), [numpy(g) for g in torch.autograd.grad(value, tensors)]
    import tensorflow as tf

    tensors = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(*tensors)
    return float(value), [g.numpy() for g in tape.gradient(value, tensors)]


def real_loss(poles, weights, u, goal):
    """Return the distance of the states to a goal, from real pairs."""
    poles, weights = _backend.complex(*poles), _backend.complex(*weights)
    states = recurrence.states(_backend.complex(*u), poles, input_weights=weights)
    return ops.sum(_backend.power(states - goal))


PAIRS = [np.stack([z.real, z.imag]) for z in (0.9 * POLES, INPUT_WEIGHTS, U)]
GOAL = complex_normal(8, B, T, K)


def test_gradients_are_finite_differences():
    def loss(poles, weights, u):
        return real_loss(poles, weights, u, ops.convert_to_tensor(GOAL))

    value, gradients = value_and_gradients(loss, PAIRS)

    def reference(poles, weights, u):
        poles, weights, u = (z[0] + 1j * z[1] for z in (poles, weights, u))
        return np.sum(np.abs(driven_states(u, poles, weights) - GOAL) ** 2)

    assert value == pytest.approx(reference(*PAIRS), rel=1e-12)
    rng = np.random.default_rng(7)
    for i, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        moved = [list(PAIRS), list(PAIRS)]
        moved[0][i] = PAIRS[i] + 1e-6 * direction
        moved[1][i] = PAIRS[i] - 1e-6 * direction
        slope = (reference(*moved[0]) - reference(*moved[1])) / 2e-6
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-6)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("basis", sorted(BASES))
def test_gradients_under_xla_are_those_of_eager_execution(basis):
    import tensorflow as tf

    initial = complex_normal(3, B, N * K)

    def gradients(u, initial):
        with tf.GradientTape() as tape:
            tape.watch([u, initial])
            states = recurrence.states(u, POLES, basis=basis, initial_state=initial)
            value = tf.reduce_sum(_backend.power(states))
        return tape.gradient(value, [u, initial])

    arguments = (tf.constant(U), tf.constant(initial))
    eager = gradients(*arguments)
    states = numpy(recurrence.states(U, POLES, basis=basis, initial_state=initial))
    # d|s|^2 along a direction v is 2 Re <s, states(v)>: the adjoint of the linear map itself.
    v, v0 = complex_normal(8, B, T, N), complex_normal(9, B, N * K)
    moved = numpy(recurrence.states(v, POLES, basis=basis, initial_state=v0))
    slope = 2 * np.real(np.vdot(states, moved))
    along = np.real(np.vdot(eager[0].numpy(), v) + np.vdot(eager[1].numpy(), v0))
    assert along == pytest.approx(slope, rel=1e-10)
    for compiled in (False, True):
        graph = tf.function(gradients, jit_compile=compiled, autograph=False)(*arguments)
        for one, other in zip(graph, eager, strict=True):
            assert_close(one, other, 1e-10)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("num_samples", [None, T])
def test_static_shapes_are_kept_and_unknown_ones_accepted(case, num_samples):
    import tensorflow as tf

    expected = expected_states(case, U)
    num_features = expected.shape[-1]
    weights = complex_normal(2, num_features, S)

    @tf.function(input_signature=[tf.TensorSpec([None, num_samples, N], "complex128")])
    def run(u):
        states = recurrence.states(u, POLES, **CASES[case])
        y, last = recurrence.output(u, POLES, weights, return_state=True, **CASES[case])
        taps = weights[:1].repeat(3 * N, axis=0)
        return (
            states,
            y,
            last,
            recurrence.delay_line(u, 3),
            recurrence.delay_line_output(u, 3, taps),
        )

    states, y, last, lines, filtered = run(tf.constant(U))
    assert_close(states, expected, 1e-10)
    assert_close(y, expected @ weights, 1e-10)
    assert_close(last, expected[:, -1], 1e-10)
    assert_close(filtered, numpy(lines) @ weights[:1].repeat(3 * N, axis=0), 1e-10)
    shapes = [tuple(s) for s in run.get_concrete_function().output_shapes]
    assert shapes == [
        (None, num_samples, num_features),
        (None, num_samples, S),
        (None, num_features),
        (None, num_samples, 3 * N),
        (None, num_samples, S),
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("window", "delay"), [(1, 0), (4, 0), (4, 2), (3, 7), (2, -3)])
def test_delay_line(mode, window, delay):
    u = complex_normal(0, B, 9, N, dtype="complex64")
    lines = in_mode(lambda u: recurrence.delay_line(u, window, delay), mode)(u)
    expected = np.zeros((B, 9, N * window), "complex64")
    for t in range(9):
        for w in range(window):
            if 0 <= t + delay - w < 9:
                expected[:, t, w::window] = u[:, t + delay - w]
    np.testing.assert_array_equal(lines, expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: recurrence.states(U.real, POLES), TypeError, "u must be complex64 or complex128"),
        (lambda: recurrence.states(U[0], POLES), ValueError, r"shape \[B, T, N\], got \(75, 2\)"),
        (lambda: recurrence.states(U, [0.5, 1.0]), ValueError, r"poles must satisfy \|p\| < 1"),
        (lambda: recurrence.states(U, POLES, basis="kautz"), ValueError, "basis must be one of"),
        (
            lambda: recurrence.states(U, ops.convert_to_tensor(POLES), basis="orthonormal"),
            ValueError,
            "tensor need basis 'parallel'",
        ),
        (
            lambda: recurrence.states(U, POLES, input_weights=np.ones((K, N + 1))),
            ValueError,
            r"input_weights must have shape \[5, 2\], got \(5, 3\)",
        ),
        (
            lambda: recurrence.states(U, POLES, basis="orthonormal", input_weights=INPUT_WEIGHTS),
            ValueError,
            "input_weights need basis 'parallel'",
        ),
        (
            lambda: recurrence.states(U, POLES, initial_state=np.zeros((B, K), complex)),
            ValueError,
            r"initial_state must have shape \[2, 10\], got \(2, 5\)",
        ),
        (
            lambda: recurrence.output(U, POLES, complex_normal(0, K, S)),
            ValueError,
            r"weights must have shape \[10, S\], got \(5, 3\)",
        ),
        (lambda: recurrence.impulse_response(POLES, 0), ValueError, "num_samples must be at"),
        (lambda: recurrence.delay_line(U, 0), ValueError, "window must be at least 1, got 0"),
    ],
)
def test_errors_say_what_was_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("window", [1, 2, 17, 40, 2 * T])
def test_delay_line_output_is_the_filter(mode, window):
    weights = complex_normal(2, B, N * window, S)

    def run(u, weights):
        own = recurrence.delay_line_output(u, window, weights)
        return own, recurrence.delay_line_output(u, window, weights[0])

    lines = numpy(recurrence.delay_line(U, window))
    own, shared = in_mode(run, mode)(U, weights)
    assert_close(own, lines @ weights, 1e-10)
    assert_close(shared, lines @ weights[0], 1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_states_within_windows_are_those_of_the_whole_signal(case, mode):
    windows = [(0, 3), (3, 20), (41, T)]

    def run(u):
        return recurrence.states_within(u, POLES, windows, **CASES[case])

    wanted = np.concatenate([expected_states(case, U)[:, a:b] for a, b in windows], axis=1)
    assert_close(in_mode(run, mode)(U), wanted, tolerance("complex128", GAIN))


@pytest.mark.parametrize(
    ("windows", "error"),
    [
        ([], ValueError),
        ([(5, 5)], ValueError),
        ([(-1, 5)], ValueError),
        ([(0, T + 1)], ValueError),
        ([(5, 9), (8, 12)], ValueError),
        ([(0.0, 3)], TypeError),
        ((5, 9), TypeError),
        ([(1, 2, 3)], ValueError),
    ],
)
def test_windows_that_do_not_fit_are_refused(windows, error):
    with pytest.raises(error, match="windows must"):
        recurrence.states_within(U, POLES, windows)
