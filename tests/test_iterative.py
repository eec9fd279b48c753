"""Iterative reception: every part against float64 references, the whole against its promises."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy.fec.ldpc import LDPC5GEncoder
from sionna.phy.mapping import Constellation, Mapper
from sionna.phy.ofdm import LMMSEEqualizer, ResourceGridMapper

from rx_fixedpole.receivers import (
    AutoReceiver,
    FixedPoleChannelEstimator,
    FixedPoleEqualizer,
    IterativeReceiver,
    WienerEqualizer,
)
from rx_fixedpole.receivers.cancellation import detect
from rx_fixedpole.receivers.circularity import Circularity
from rx_fixedpole.receivers.decoding import CERTAIN, SoftDecoder
from rx_fixedpole.receivers.demodulation import demodulate
from rx_fixedpole.receivers.redetection import Redetection
from rx_fixedpole.receivers.soft_symbols import SoftSymbols
from rx_fixedpole.receivers.virtual_pilots import VirtualPilots
from tests.modes import complex_normal, in_mode, without_graphs
from tests.test_equalizer import L_MIN, make_grid, management, random_taps, send

GUARDS = dict(num_guard_carriers=(5, 4), dc_null=True)


def occupied(grid):
    return np.asarray(grid.effective_subcarrier_ind)


def test_soft_symbols_are_the_moments_of_the_points():
    grid = make_grid(streams=2, kind="shared", **GUARDS)
    points = np.asarray(Constellation("qam", 4, precision="double").points)
    symbols = SoftSymbols(grid, points, "complex128")
    num_data = int(grid.num_data_symbols)
    llr = np.random.default_rng(0).normal(size=(2, 2, 4 * num_data)) * 3
    mean, variance = symbols(tf.constant(llr))
    bits = np.array([[int(b) for b in f"{i:04b}"] for i in range(16)])
    one = 1 / (1 + np.exp(-llr.reshape(2, 2, num_data, 1, 4)))
    weights = np.prod(np.where(bits == 1, one, 1 - one), axis=-1)
    expected = weights @ points
    mask = np.asarray(grid.pilot_pattern.mask).astype(bool)[0].reshape(2, -1)
    pilots = np.asarray(grid.pilot_pattern.pilots)[0]
    for s in range(2):
        flat, spread = np.asarray(mean)[:, s].reshape(2, -1), np.asarray(variance)[:, s]
        spread = spread.reshape(2, -1)
        np.testing.assert_allclose(flat[:, ~mask[s]], expected[:, s], atol=1e-10)
        second = weights[:, s] @ np.abs(points) ** 2 - np.abs(expected[:, s]) ** 2
        np.testing.assert_allclose(spread[:, ~mask[s]], second, atol=1e-10)
        np.testing.assert_allclose(flat[:, mask[s]], np.tile(pilots[s], (2, 1)), atol=1e-6)
        np.testing.assert_array_equal(spread[:, mask[s]], 0)


@pytest.mark.parametrize(("cp", "shift"), [(0, 0), (3, -1), (20, -2)])
def test_known_symbols_restore_the_circular_convolution(cp, shift):
    """Behind any prefix, the grid becomes response times symbol."""
    grid = make_grid(cp=cp, **GUARDS)
    taps = random_taps(np.random.default_rng(1), 2, 1, 9)
    lags = np.arange(-2, 12)
    y, _, data = send(grid, taps, 0.0, dtype=np.complex128, extra=20)
    spectra = demodulate(tf.constant(y[:, 0]), grid, L_MIN, shift)
    x = ResourceGridMapper(grid)(tf.constant(data, tf.complex64)).numpy()[:, 0]
    x = x[..., occupied(grid)].astype(complex)
    padded = np.zeros((2, 2, 1, 5, 14), complex)
    padded[..., 2:11] = taps[None, :, :, None]
    restored = Circularity(grid, lags, shift).restored(spectra, tf.constant(padded), tf.constant(x))
    omega = 2 * np.pi * (occupied(grid) - 32) / 64
    response = taps[:, 0] @ np.exp(-1j * np.outer(np.arange(9), omega))
    expected = response[None, :, None] * x
    np.testing.assert_allclose(np.asarray(restored)[..., occupied(grid)], expected, atol=1e-5)


def test_interference_is_what_unsure_symbols_leave():
    """Random symbols of which nothing is known, over many slots."""
    grid, lags = make_grid(cp=2, symbols=4, pilot_symbols=(1,)), np.arange(-2, 12)
    prefix = Circularity(grid, lags, -1)
    taps = np.zeros((1, 1, 1, 4, 14), complex)
    taps[..., 2:] = random_taps(np.random.default_rng(2), 1, 1, 12) * np.exp(np.arange(12) / 2)
    x = complex_normal(3, 300, 1, 4, 64) / np.sqrt(2)
    none = tf.zeros((300, 1, 4, 64), tf.complex128)
    # What restoring adds for sent symbols, less what the window lacks of each symbol's own gain
    added = prefix.restored(none, tf.constant(np.tile(taps, (300, 1, 1, 1, 1))), tf.constant(x))
    measured = np.mean(np.abs(np.asarray(added)[:, :, 1:]) ** 2)
    stated = prefix.interference(tf.constant(taps), tf.ones((1, 1, 4, 64), tf.float64))
    # The lost part of the own gain, share^2 of a tap, is counted in neither
    assert abs(np.mean(np.asarray(stated)[:, 1:]) / measured - 1) < 0.15


def test_virtual_pilots_reach_the_joint_posterior():
    """With powers held, blocks solved side by side end at the dense solution over all of them.

    Symbols that are not sure count with their second moment where a stream meets itself.
    """
    grid = make_grid(streams=2, fft=32, symbols=8, **{**GUARDS, "num_guard_carriers": (3, 2)})
    lags = np.arange(-2, 6)
    pilots = VirtualPilots(grid, lags, 0.3)
    k, num_fn = occupied(grid), len(pilots._functions)
    y, x = complex_normal(4, 1, 2, 8, len(k)), complex_normal(5, 1, 2, 8, len(k))
    rng = np.random.default_rng(6)
    noise, variance = rng.uniform(0.2, 0.8, (1, 8, len(k))), rng.uniform(0, 1, (1, 2, 8, len(k)))
    powers = np.random.default_rng(7).uniform(0.1, 1, (1, 2, 8))
    speeds = np.eye(len(pilots._speeds))[9]
    args = [tf.constant(a) for a in (y, x, variance, noise)]
    start = pilots.start(*args)._replace(powers=tf.constant(powers))
    pilots._with_powers = lambda mean, known, time: tf.gather(
        tf.constant(powers), order, axis=-1, batch_dims=2
    )
    order = tf.math.top_k(tf.constant(powers), 8)[1]
    pilots._with_speeds = lambda z, curvature, powers: tf.constant(np.tile(speeds, (1, 2, 1)))
    with without_graphs():
        channel = pilots.refined(start, *args, updates=60)
    ramps = np.exp(-2j * np.pi * np.outer(k - 16, lags) / 32)

    def designed(symbols):
        columns = np.einsum("smk,qm,kl->mksql", symbols, pilots._functions, ramps)
        return columns.reshape(8 * len(k), -1) / np.sqrt(noise.reshape(-1, 1))

    design, itself = designed(x[0]), np.kron(np.eye(2), np.ones((num_fn * 8, num_fn * 8)))
    prior = (powers[0][:, None] * (speeds @ pilots._speeds)[None, :, None]).reshape(-1)
    unsure = designed(np.sqrt(variance[0]))
    gram = design.conj().T @ design + itself * (unsure.conj().T @ unsure) + np.diag(1 / prior)
    seen = (y[0] / np.sqrt(noise)).reshape(2, -1).T
    expected = np.linalg.solve(gram, design.conj().T @ seen).reshape(2, num_fn, 8, 2)
    np.testing.assert_allclose(channel.coefficients[0], expected, atol=1e-8)
    taps = np.einsum("qm,sqla->asml", pilots._functions, expected)
    np.testing.assert_allclose(channel.taps[0], taps, atol=1e-8)


def test_detection_is_the_linear_mmse_that_does_not_use_the_symbols_own_prior():
    h, mean = complex_normal(8, 1, 3, 2, 1, 4), complex_normal(9, 1, 2, 1, 4)
    y, rng = complex_normal(10, 1, 3, 1, 4), np.random.default_rng(11)
    variance, noise = rng.uniform(0, 1, (1, 2, 1, 4)), rng.uniform(0.1, 1, (1, 1, 4))
    error = y - np.sum(h * mean[:, None], axis=2)
    args = (tf.constant(a) for a in (error, h, mean, variance, noise))
    x_hat, no_eff = detect(*args)
    for s in range(2):
        for k in range(4):
            mine, other = h[0, :, s, 0, k], h[0, :, 1 - s, 0, k]
            v = variance[0, 1 - s, 0, k]
            c = v * np.outer(other, other.conj()) + noise[0, 0, k] * np.eye(3)
            w = np.linalg.solve(c, mine)
            gain = np.vdot(mine, w).real
            z = np.vdot(w, y[0, :, 0, k] - other * mean[0, 1 - s, 0, k]) / gain
            np.testing.assert_allclose(x_hat[0, s, 0, k], z, rtol=1e-9)
            np.testing.assert_allclose(no_eff[0, s, 0, k], 1 / gain, rtol=1e-9)


def small_encoder(precision="single"):
    return LDPC5GEncoder(192, 384, num_bits_per_symbol=2, precision=precision)


def small_receiver(grid=None, **options):
    """Of slots with one codeword a stream; the trained equalizer is the fastest first pass."""
    grid = make_grid(cp=2) if grid is None else grid
    users = management(grid, [[1] * int(grid.num_tx)])
    precision = options.get("precision")
    first = FixedPoleEqualizer(grid, users, window=4, l_min=L_MIN, precision=precision)
    options = dict(l_min=L_MIN, num_iter=6, first=first) | options
    encoder = small_encoder(precision or "single")
    return IterativeReceiver(grid, users, encoder, **options), grid


def codewords(grid, num_ant, no, *, batch=16, length=5, dtype=np.complex64):
    """Samples of slots that carry codewords, and the coded bits ``[B, num_tx, S, n]``."""
    num_tx, streams = int(grid.num_tx), int(grid.num_streams_per_tx)
    rng = np.random.default_rng(2)
    bits = tf.constant(rng.integers(0, 2, (batch, num_tx, streams, 192)), tf.float32)
    coded = small_encoder()(bits)
    data = Mapper("qam", 2)(coded).numpy()
    taps = random_taps(rng, num_ant, num_tx * streams, length)
    return send(grid, taps, no, batch=batch, data=data, dtype=dtype)[0], coded.numpy() > 0.5


def passes(receiver, y, no, number=2):
    """LLRs after one and all passes, and which codewords the first one decodes."""
    first = receiver._once(y, no)
    flat = tf.reshape(first, (-1, receiver._layout.num_streams, first.shape[-1]))
    decoded = receiver._decoder(flat)[1].numpy().reshape(first.shape[:3]) > 0.5
    return first.numpy(), receiver(y, no).numpy(), decoded


LAYOUTS = {
    "one stream": (dict(cp=2), 2, 1.6),
    "2x2": (dict(streams=2), 2, 0.5),
    "2 users of 2 streams": (dict(num_tx=2, streams=2), 4, 0.7),
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_pass_helps_and_loses_nothing(layout):
    """Fewer wrong bits, and what one pass decodes stays decoded, LLR for LLR."""
    fields, num_ant, no = LAYOUTS[layout]
    receiver, grid = small_receiver(make_grid(**fields))
    y, sent = codewords(grid, num_ant, no)
    before, after, right = passes(receiver, y, no)
    np.testing.assert_array_equal(after[right], before[right])
    wrong = [np.mean(((llr > 0) != sent)[~right]) for llr in (before, after)]
    more = receiver._decoder(tf.reshape(after, (16, -1, 384)))[1]
    assert min(right.sum(), (~right).sum()) >= 3
    assert wrong[1] < wrong[0] and np.sum(more) > right.sum()


@pytest.mark.usefixtures("eagerly")
def test_estimates_are_unbiased_and_err_as_stated():
    """From symbols that were told by the very samples they are to be detected in, at 0 dB."""
    receiver, grid = small_receiver()
    y, sent = codewords(grid, 2, 1.0, batch=24)
    first = receiver._demapped(*receiver._first(y, 1.0))
    x, variance = receiver._symbols(first[:, 0])
    assert np.mean(variance) > 0.2
    spectra = demodulate(tf.constant(y[:, 0]), grid, L_MIN, receiver._redetection.capture)
    found = receiver._redetection(spectra, tf.ones(24), x, variance)
    x_hat, no_eff = (np.asarray(receiver._layout.occupied_data(a)) for a in found)
    wanted = Mapper("qam", 2)(tf.constant(sent, tf.float32)).numpy()
    gain = np.mean(x_hat * wanted.conj()).real
    error = np.mean(np.abs(x_hat - wanted) ** 2 / no_eff)
    assert 0.9 < gain < 1.1 and 0.85 < error < 1.15, (gain, error)


def lmmse(grid):
    """A channel estimate and Sionna's detector, as a first pass."""
    users = management(grid)
    estimate, equalize = FixedPoleChannelEstimator(grid), LMMSEEqualizer(grid, users)

    def receive(y, no):
        spectra = demodulate(y, grid, L_MIN, -1)
        return equalize(spectra, *estimate(spectra, no), no)

    return receive


FIRST_PASSES = {
    "lmmse": lmmse,
    "wiener": lambda grid: WienerEqualizer(grid, management(grid), window=16, l_min=L_MIN),
    "auto": lambda grid: AutoReceiver(grid, management(grid), l_min=L_MIN),
    "auto, LLRs": lambda grid: AutoReceiver(
        grid, management(grid), l_min=L_MIN, constellation=Constellation("qam", 2)
    ),
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", FIRST_PASSES)
def test_any_receiver_may_be_the_first_pass(name):
    grid = make_grid(cp=2)
    first = FIRST_PASSES[name](grid)
    receiver, _ = small_receiver(grid, first=first)
    no = tf.constant(1.2)
    y, sent = codewords(grid, 2, 1.2, batch=8)
    before, after, right = passes(receiver, tf.constant(y), no)
    once, _ = small_receiver(grid, first=first, num_passes=1)
    np.testing.assert_allclose(once(y, no), before, atol=1e-4)
    np.testing.assert_array_equal(after[right], before[right])
    wrong = [np.mean((llr > 0) != sent) for llr in (before, after)]
    assert (~right).any() and wrong[1] < wrong[0]


@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        ("graph", "single"),
        ("graph", "double"),
        ("xla", "single"),
        pytest.param("xla", "double", marks=pytest.mark.slow),
    ],
)
def test_detection_agrees_in_all_modes(mode, precision):
    """Before and after the decoder, whatever the symbols.

    Not across it: of what is no codeword, belief propagation makes chaos. A change of LLRs by
    their last digit in single precision turned up as 0.12 in those of the decoder after 6
    iterations, and one mode's sums as 10, while detection from given symbols agreed to 1e-6.
    """
    dtype = "complex64" if precision == "single" else "complex128"
    grid = make_grid(cp=2, streams=2, fft=32, symbols=4, pilot_symbols=(1, 2), precision=precision)
    again = Redetection(grid, L_MIN, dtype)
    real = np.float32 if precision == "single" else np.float64
    y = complex_normal(1, 2, 2, 4, 32, dtype=dtype)
    x = complex_normal(2, 2, 2, 4, 32, dtype=dtype) / 2
    variance = np.random.default_rng(3).uniform(0, 0.5, (2, 2, 4, 32)).astype(real)
    args = (y, np.full(2, 0.3, real), x, variance)
    expected = again(*(tf.constant(a) for a in args))
    for got, wanted in zip(in_mode(again, mode)(*args), expected, strict=True):
        rtol = 2e-4 if precision == "single" else 1e-9
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("mode", ["eager", "graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_codewords_are_decoded_in_all_modes(mode):
    """What the decoder is sure of is exact, however LLRs were rounded on the way."""
    decoder = SoftDecoder(small_encoder(), 6, "single")
    rng = np.random.default_rng(4)
    coded = np.asarray(small_encoder()(tf.constant(rng.integers(0, 2, (6, 192)), tf.float32)))
    llr = 4 * (2 * coded - 1) + 2 * rng.normal(size=coded.shape)
    llr = llr.reshape(3, 2, 384).astype(np.float32)
    llr[0, 0] = rng.normal(size=384)  # no codeword
    beliefs, decoded = in_mode(decoder, mode)(llr)
    np.testing.assert_array_equal(decoded[..., 0], [[0, 1], [1, 1], [1, 1]])
    known = decoded[..., 0] > 0.5
    np.testing.assert_array_equal(
        beliefs[known], CERTAIN * (2 * coded.reshape(llr.shape) - 1)[known]
    )
    assert np.all(np.abs(beliefs[~known]) < CERTAIN)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_whole_receivers_agree(mode):
    receiver, _ = small_receiver(precision="double", num_iter=2)
    taps = random_taps(np.random.default_rng(6), 2, 1, 5)
    y = send(make_grid(cp=2), taps, 0.5, dtype=np.complex128)[0]
    no = np.float64(0.5)
    expected = receiver(tf.constant(y), tf.constant(no))
    np.testing.assert_allclose(in_mode(receiver, mode)(y, no), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_passes": 0}, ValueError, "num_passes must be >= 1, got 0"),
        ({"num_iter": 1.5}, TypeError, "num_iter must be an integer"),
        ({"l_min": 1}, ValueError, "l_min must be <= 0, got 1"),
        ({"first": 3}, TypeError, "first must be None or callable"),
        ({"constellation": "qam"}, TypeError, "constellation must be a Constellation"),
    ],
)
def test_mistakes_are_named(options, error, match):
    with pytest.raises(error, match=match):
        small_receiver(**options)


def test_codewords_must_fill_the_streams():
    grid = make_grid()
    with pytest.raises(ValueError, match="fill the 768 bits of a stream, got n = 200"):
        IterativeReceiver(
            grid, management(grid), LDPC5GEncoder(100, 200),
            constellation=Constellation("qam", 4), l_min=0,
        )  # fmt: skip


def test_decoded_slots_end_the_passes():
    """The LLRs of a further pass are those of the first where nothing is left to decode."""
    receiver, grid = small_receiver()
    encoder = small_encoder()
    rng = np.random.default_rng(3)
    bits = tf.constant(rng.integers(0, 2, (4, 1, 1, 192)), tf.float32)
    code = encoder(bits)
    llr = tf.reshape(8.0 * (2 * code - 1), [4, 1, 384])
    y = tf.constant(complex_normal(1, 4, 2, 5, 64, dtype="complex64"))
    receiver._redetection = None  # which is not called
    repeated = receiver._repeated(llr, y, tf.ones(4))
    np.testing.assert_array_equal(repeated, llr)
