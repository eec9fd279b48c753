"""The Keras layers: values, modes, shapes, saving, training."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import ops

from rx_fixedpole import recurrence
from rx_fixedpole.layers import PARAMETRIZATIONS, FixedPoleRNN, PilotReadout, TrainablePoleRNN
from rx_fixedpole.readout import READOUTS, BlockRLS, Ridge
from tests.modes import MODES, assert_close, complex_normal, in_mode, numpy
from tests.oracles import bank_states, driven_states, tolerance, weighted_ridge

B, T, N = 3, 40, 2
POLES = np.array([0.8, -0.5j, 0.3 + 0.6j])
K, GAIN = len(POLES), 5
U = complex_normal(0, B, T, N, dtype="complex64")
W = complex_normal(1, K, N)
LAYERS = {
    "fixed": lambda **more: FixedPoleRNN(POLES, window=2, **more),
    "fixed orthonormal": lambda **more: FixedPoleRNN(POLES, basis="orthonormal", **more),
    "fixed driven": lambda **more: FixedPoleRNN(POLES, input_weights=W, window=1, **more),
    "trainable": lambda **more: TrainablePoleRNN(POLES, window=2, **more),
    "trainable driven": lambda **more: TrainablePoleRNN(POLES, input_weights=W, **more),
    "trainable stable": lambda **more: TrainablePoleRNN(
        POLES, input_weights=W, parametrization="stable", **more
    ),
}
FEATURES = complex_normal(2, B, T, 5)
TARGETS = complex_normal(3, B, T, 2)
MASK = np.arange(T) % 3 == 0
NO = np.array([0.1, 0.5, 1.0])


@pytest.fixture(params=sorted(LAYERS))
def make(request):
    return LAYERS[request.param]


def test_a_window_of_numpy_is_kept_as_a_plain_one():
    config = FixedPoleRNN(POLES, window=np.int64(3)).get_config()
    assert type(config["window"]) is int and json.loads(json.dumps(config)) == config


def expected_features(layer, u):
    config = layer.get_config()
    if config["input_weights"] is not None:
        features = driven_states(u, POLES, W)
    else:
        features = bank_states(u, POLES, config.get("basis", "parallel"))
    lines = [numpy(recurrence.delay_line(u, layer.window))] if layer.window else []
    return np.concatenate([features, *lines], axis=-1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_is_the_filters_it_holds(make, mode, dtype):
    layer = make(dtype=dtype)
    features = in_mode(layer, mode)(U)
    complex_dtype = {"float32": "complex64", "float64": "complex128"}[dtype]
    assert features.dtype == complex_dtype
    assert features.shape == layer.compute_output_shape(U.shape)
    assert_close(features, expected_features(layer, U), tolerance(complex_dtype, GAIN))


def test_a_model_knows_its_shapes_and_survives_saving(make, tmp_path, capsys):
    inputs = keras.Input((T, N), dtype="complex64")
    layer = make()
    model = keras.Model(inputs, layer(inputs))
    features = model.predict(U, verbose=0)
    assert model.output_shape == (None, *features.shape[1:])
    assert keras.backend.standardize_dtype(model.output.dtype) == "complex64"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(U, verbose=0), features)
    assert loaded.layers[-1].get_config() == layer.get_config()
    model.summary()
    assert f"(None, {T}, {features.shape[-1]})" in capsys.readouterr().out


def test_a_configuration_is_plain_json_and_exact(make):
    layer = make(name="bank")
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again.poles, POLES)


def test_trained_weights_are_saved_with_a_model(tmp_path):
    inputs = keras.Input((T, N), dtype="complex64")
    layer = TrainablePoleRNN(POLES, input_weights=W)
    model = keras.Model(inputs, layer(inputs))
    layer.pole_pair.assign(0.5 * layer.pole_pair)
    assert_close(layer.poles, 0.5 * POLES, 1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[-1].poles, layer.poles)


@pytest.mark.tensorflow_only
def test_an_unknown_number_of_samples_is_accepted(make):
    inputs = keras.Input((None, N), dtype="complex64")
    layer = make()
    model = keras.Model(inputs, layer(inputs))
    for num_samples in (T, 17):
        features = model.predict(U[:, :num_samples], verbose=0)
        expected = expected_features(layer, U[:, :num_samples])
        assert_close(features, expected, tolerance("complex64", GAIN))


def test_what_is_trainable():
    fixed, poles, both = (LAYERS[n]() for n in ("fixed", "trainable", "trainable driven"))
    for layer in (fixed, poles, both):
        layer(U)
    assert fixed.count_params() == 0
    assert poles.count_params() == 2 * K
    assert both.count_params() == 2 * K + 2 * K * N
    assert {w.dtype for w in both.trainable_weights} == {"float32"}


@pytest.mark.parametrize("parametrization", sorted(PARAMETRIZATIONS))
def test_fit_finds_the_poles(parametrization):
    """A model that ends with real and imaginary parts, the standard loss, Adam."""
    target = np.sum(driven_states(U, POLES, W), axis=-1, keepdims=True)
    target = np.concatenate([target.real, target.imag], axis=-1).astype("float32")

    def side_by_side(states):
        y = ops.sum(states, axis=-1, keepdims=True)
        return ops.concatenate([ops.real(y), ops.imag(y)], axis=-1)

    start = POLES + 0.1 * np.array([-1, 1j, 1])
    layer = TrainablePoleRNN(start, input_weights=W, parametrization=parametrization)
    inputs = keras.Input((T, N), dtype="complex64")
    outputs = keras.layers.Lambda(side_by_side, output_shape=(T, 2))(layer(inputs))
    model = keras.Model(inputs, outputs)
    compiled = keras.backend.backend() == "tensorflow" and parametrization == "free"
    model.compile(keras.optimizers.Adam(0.02), loss="mse", jit_compile=compiled)
    history = model.fit(U, target, batch_size=B, epochs=100, verbose=0).history["loss"]
    assert history[-1] < history[0] / 100
    assert np.max(np.abs(layer.poles - POLES)) < 0.05


def test_stable_poles_stay_inside_the_circle():
    layer = TrainablePoleRNN(POLES, parametrization="stable")
    layer(U)
    layer.pole_pair.assign(np.array([[-5.0, 0.0, 3.0], [9.0, -9.0, 0.5]]))
    assert np.all(np.abs(layer.poles) < 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prior", [None, complex_normal(4, 5, 2)], ids=["none", "given"])
def test_a_pilot_readout_sees_pilots_only(mode, prior):
    layer = PilotReadout(Ridge(2.0), dtype="float64")
    run = in_mode(lambda f, t, no: layer(f, t, MASK, no, prior), mode)
    outputs, left_out = run(FEATURES, TARGETS, NO)
    hidden = np.where(MASK[None, :, None], TARGETS, np.nan)
    np.testing.assert_array_equal(run(FEATURES, hidden, NO)[0], outputs)
    assert outputs.shape == (B, T, 2) and left_out.shape == (B, MASK.sum(), 2)
    for b in range(B):
        pilots = FEATURES[b][MASK], TARGETS[b][MASK], 2 * NO[b]
        weights = weighted_ridge(*pilots, 0.0 if prior is None else prior)
        assert_close(outputs[b], FEATURES[b] @ weights, 1e-10)
        keep = np.flatnonzero(MASK)[1:]
        others = FEATURES[b, keep], TARGETS[b, keep], 2 * NO[b]
        weights = weighted_ridge(*others, 0.0 if prior is None else prior)
        assert_close(left_out[b, 0], TARGETS[b, 0] - FEATURES[b, 0] @ weights, 1e-10)


@pytest.mark.parametrize("name", sorted(READOUTS))
def test_a_pilot_readout_in_a_model(name, tmp_path):
    features, targets, no = (
        keras.Input((T, 5), dtype="complex64"),
        keras.Input((T, 2), dtype="complex64"),
        keras.Input(()),
    )
    layer = PilotReadout(READOUTS[name]())
    model = keras.Model([features, targets, no], layer(features, targets, MASK, no))
    arrays = [FEATURES.astype("complex64"), TARGETS.astype("complex64"), NO.astype("float32")]
    outputs, left_out = model.predict(arrays, verbose=0)
    assert model.output_shape == [(None, T, 2), (None, MASK.sum(), 2)]
    assert outputs.shape == (B, T, 2) and left_out.shape == (B, MASK.sum(), 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].readout == layer.readout
    np.testing.assert_array_equal(loaded.predict(arrays, verbose=0)[0], outputs)


def test_features_feed_a_readout_in_one_model():
    """The whole receiver of the paper as a Keras model: an FIR channel is equalized."""
    symbols = complex_normal(5, B, T, 1)
    received = symbols + 0.4j * np.concatenate([np.zeros((B, 1, 1)), symbols[:, :-1]], axis=1)
    u, goal = keras.Input((T, 1), dtype="complex128"), keras.Input((T, 1), dtype="complex128")
    bank = FixedPoleRNN(-0.4j * np.ones(1), dtype="float64")
    outputs, _ = PilotReadout(dtype="float64")(bank(u), goal, MASK, 0.0)
    model = keras.Model([u, goal], outputs)
    assert_close(model.predict([received, symbols], verbose=0), symbols, 1e-10)


INPUT = keras.Input((T, N))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FixedPoleRNN(POLES)(U.real), TypeError, "u must be complex64 or complex128, got"),
        (lambda: FixedPoleRNN(POLES)(INPUT), TypeError, "keras.Input needs dtype='complex64'"),
        (lambda: FixedPoleRNN(POLES)(U[0]), ValueError, "u must have three axes"),
        (lambda: FixedPoleRNN(POLES, input_weights=W)(U[..., :1]), ValueError, "for 2 inputs"),
        (lambda: FixedPoleRNN([1.0]), ValueError, r"\|p\| < 1"),
        (lambda: FixedPoleRNN(POLES, window=-1), ValueError, "window must be at least 0, got -1"),
        (lambda: FixedPoleRNN(POLES, window=1.5), TypeError, "window must be an integer"),
        (lambda: FixedPoleRNN(POLES, basis="kautz"), ValueError, "basis must be one of"),
        (
            lambda: FixedPoleRNN(POLES, basis="orthonormal", input_weights=W),
            ValueError,
            "input_weights need basis 'parallel'",
        ),
        (
            lambda: FixedPoleRNN(POLES, input_weights=W.T),
            ValueError,
            r"input_weights must have shape \[3, N\], got \(2, 3\)",
        ),
        (lambda: FixedPoleRNN(POLES, input_weights=[["a"]]), TypeError, "must hold numbers"),
        (lambda: FixedPoleRNN(POLES, input_weights=W * np.nan), ValueError, "must be finite"),
        (lambda: FixedPoleRNN(POLES, dtype="float16"), ValueError, "'float32' or 'float64'"),
        (lambda: FixedPoleRNN(POLES, windw=1), TypeError, "windw"),
        (lambda: TrainablePoleRNN(POLES, parametrization="lru"), ValueError, "parametrization"),
        (
            lambda: TrainablePoleRNN([0.0], parametrization="stable"),
            ValueError,
            "poles at 0 have no exponential form",
        ),
        (lambda: PilotReadout("ridge"), TypeError, "readout must be an instance of"),
        (
            lambda: PilotReadout(BlockRLS())(FEATURES, TARGETS, MASK[1:], 1.0),
            ValueError,
            r"features must have shape \[B, 39, any\]",
        ),
        (
            lambda: PilotReadout()(FEATURES, TARGETS, MASK.astype(int), 1.0),
            TypeError,
            "pilot_mask must be boolean",
        ),
        (
            lambda: PilotReadout()(FEATURES, TARGETS, np.zeros(T, bool), 1.0),
            ValueError,
            "at least one pilot",
        ),
        (lambda: PilotReadout()(FEATURES, TARGETS.real, MASK, 1.0), TypeError, "targets must be"),
    ],
)
def test_errors_say_what_was_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
