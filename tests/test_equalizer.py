"""The fixed-pole equalizer against a float64 oracle and the properties of a per-slot receiver."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy.channel import time_lag_discrete_time_channel
from sionna.phy.mapping import BinarySource, Demapper, Mapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import PilotPattern, ResourceGrid, ResourceGridMapper
from sionna.phy.utils import ebnodb2no, sim_ber

from rx_fixedpole import poles
from rx_fixedpole.readout import READOUTS, BlockRLS, Ridge
from rx_fixedpole.receivers import FixedPoleEqualizer
from rx_fixedpole.receivers.pilots import data_elements, pilot_groups
from rx_fixedpole.receivers.time_frontend import TimeFrontEnd
from tests import oracles

L_MIN = -2


def make_grid(
    *, num_tx=1, streams=1, fft=64, cp=6, symbols=5, pilot_symbols=(1, 3), kind="comb",
    precision="single", **fields,
):  # fmt: skip
    """A grid whose pilots are random QPSK; `kind` says how they lie."""
    fields |= dict(precision=precision)
    empty = ResourceGrid(symbols, fft, 30e3, num_tx, streams, cp, pilot_pattern="empty", **fields)
    occupied, rng = int(empty.num_effective_subcarriers), np.random.default_rng(7)
    mask = np.zeros((num_tx, streams, symbols, occupied), bool)
    if kind == "unequal":  # one symbol of pilots, and every third subcarrier of another
        mask[:, :, pilot_symbols[0]] = True
        mask[:, :, pilot_symbols[1], ::3] = True
    elif kind == "shared":  # every second subcarrier of the pilot symbols carries data
        mask[:, :, list(pilot_symbols), ::2] = True
    else:
        mask[:, :, list(pilot_symbols)] = True
    num_pilots = int(mask[0, 0].sum())
    pilots = rng.choice([-1, 1], (2, num_tx, streams, num_pilots)) / np.sqrt(2)
    pilots = pilots[0] + 1j * pilots[1]
    if kind == "comb":
        total = num_tx * streams
        sender = np.arange(num_pilots) % total
        for s in range(total):
            pilots[s // streams, s % streams, sender != s] = 0
        pilots *= np.sqrt(total)
    pattern = PilotPattern(mask, pilots, precision=precision)
    return ResourceGrid(symbols, fft, 30e3, num_tx, streams, cp, pilot_pattern=pattern, **fields)


def management(grid, association=((1,),)):
    return StreamManagement(np.asarray(association), int(grid.num_streams_per_tx))


def random_taps(rng, num_ant, num_streams, length):
    shape = (num_ant, num_streams, length)
    taps = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return taps * np.exp(-np.arange(length)) / np.sqrt(2)


def send(grid, taps, no, *, batch=2, seed=0, extra=10, dtype=np.complex64, data=None):
    """QPSK slots, random ones unless `data` are given, through FIR channels `[A, streams, L]`:
    samples, grid, data symbols."""
    rng = np.random.default_rng(seed)
    num_tx, streams, fft = int(grid.num_tx), int(grid.num_streams_per_tx), int(grid.fft_size)
    shape = (batch, num_tx, streams, int(grid.num_data_symbols))
    if data is None:
        data = (rng.choice([-1, 1], shape) + 1j * rng.choice([-1, 1], shape)) / np.sqrt(2)
    x = ResourceGridMapper(grid)(tf.constant(data, tf.complex64)).numpy()
    waves = np.fft.ifft(np.fft.ifftshift(x, axes=-1), axis=-1) * np.sqrt(fft)
    cp = int(grid.cyclic_prefix_length)
    waves = np.concatenate([waves[..., fft - cp :], waves], axis=-1)
    waves = waves.reshape(batch, num_tx * streams, -1)
    num_ant, _, length = taps.shape
    y = np.zeros((batch, 1, num_ant, waves.shape[-1] + extra), complex)
    for a in range(num_ant):
        for s in range(num_tx * streams):
            for lag in range(length):  # the first sample is taken at time L_MIN
                start = lag - L_MIN
                y[:, 0, a, start : start + waves.shape[-1]] += taps[a, s, lag] * waves[:, s]
    noise = rng.normal(size=(2, *y.shape)) * np.sqrt(no / 2)
    y = (y + noise[0] + 1j * noise[1]).astype(dtype)
    starts = np.arange(int(grid.num_ofdm_symbols)) * (fft + cp) + cp - L_MIN
    windows = y[..., starts[:, None] + np.arange(fft)]
    spectra = np.fft.fftshift(np.fft.fft(windows, axis=-1), axes=-1) / np.sqrt(fft)
    return y, spectra.astype(dtype), data


def wrong_signs(x_hat, data):
    x_hat = np.asarray(x_hat)
    return np.sum((x_hat.real > 0) != (data.real > 0)) + np.sum((x_hat.imag > 0) != (data.imag > 0))


@pytest.mark.parametrize("basis", ["parallel", "orthonormal"])
@pytest.mark.parametrize("kind", ["comb", "shared"])
def test_time_domain_equals_the_oracle(kind, basis):
    grid = make_grid(streams=2, kind=kind, num_guard_carriers=(3, 2), dc_null=True)
    taps = random_taps(np.random.default_rng(1), 2, 2, 4)
    y, _, _ = send(grid, taps, 0.05, dtype=np.complex128)
    ring = poles.ring(3, 0.6, phase=0.4)
    equalizer = FixedPoleEqualizer(
        grid, management(grid), poles=ring, window=5, delay=3, readout=Ridge(0.7), basis=basis,
        l_min=L_MIN, precision="double",
    )  # fmt: skip
    x_hat, no_eff = equalizer(y, 0.05)
    biased = np.asarray(x_hat) / (1 + np.asarray(no_eff))  # the gain is 1 / (1 + no_eff)
    expected = oracles.equalize(
        y[:, 0], grid, ring, window=5, delay=3, loading=0.7 * 0.05, basis=basis, l_min=L_MIN
    )
    np.testing.assert_allclose(biased[:, 0], expected, rtol=0, atol=1e-9)


def test_frequency_domain_equals_the_time_domain_under_a_long_prefix():
    grid = make_grid(cp=24, pilot_symbols=(1, 3))
    taps = random_taps(np.random.default_rng(2), 2, 1, 4)
    y, spectra, _ = send(grid, taps, 1e-3, dtype=np.complex128)
    options = dict(window=10, delay=0, readout=Ridge(), precision="double")
    in_time = FixedPoleEqualizer(grid, management(grid), l_min=L_MIN, **options)(y, 1e-3)
    in_frequency = FixedPoleEqualizer(grid, management(grid), domain="frequency", **options)
    for got, expected in zip(in_frequency(spectra, 1e-3), in_time, strict=True):
        # A causal window within the prefix sees the same circular samples, but for the noise.
        np.testing.assert_allclose(got, expected, atol=0.2, rtol=0.5)
    clean, clean_spectra, _ = send(grid, taps, 0.0, dtype=np.complex128)
    in_time = FixedPoleEqualizer(grid, management(grid), l_min=L_MIN, **options)(clean, 1e-3)
    for got, expected in zip(in_frequency(clean_spectra, 1e-3), in_time, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-8)


GRIDS = {
    "no prefix": dict(cp=0),
    "guards and DC": dict(num_guard_carriers=(5, 4), dc_null=True),
    "data beside pilots": dict(kind="shared"),
    "two streams": dict(streams=2),
    "non-orthogonal pilots": dict(streams=2, kind="full"),
    "two users": dict(num_tx=2, cp=0),
}


# The frequency domain needs a cyclic prefix.
CASES = [(name, "time") for name in GRIDS]
CASES += [(name, "frequency") for name in GRIDS if GRIDS[name].get("cp") != 0]


@pytest.mark.parametrize(("name", "domain"), CASES)
def test_noiseless_slots_have_no_errors(name, domain):
    grid = make_grid(**GRIDS[name])
    num_streams = int(grid.num_tx) * int(grid.num_streams_per_tx)
    taps = random_taps(np.random.default_rng(3), num_streams + 1, num_streams, 4)
    y, spectra, data = send(grid, taps, 1e-6)
    users = management(grid, [[1] * int(grid.num_tx)])
    equalizer = FixedPoleEqualizer(grid, users, window=8, l_min=L_MIN, domain=domain)
    x_hat, no_eff = equalizer(y if domain == "time" else spectra, 1e-6)
    assert x_hat.shape == data.shape == no_eff.shape
    assert wrong_signs(x_hat, data) == 0


@pytest.mark.parametrize("name", poles.PLACEMENTS)
def test_every_placement_equalizes(name):
    placed = poles.PLACEMENTS[name](6)
    grid = make_grid()
    y, _, data = send(grid, random_taps(np.random.default_rng(4), 2, 1, 3), 1e-4)
    if np.any(np.abs(placed) >= 1):
        with pytest.raises(ValueError, match="poles"):
            FixedPoleEqualizer(grid, management(grid), poles=placed)
        return
    equalizer = FixedPoleEqualizer(grid, management(grid), poles=placed, window=4, l_min=L_MIN)
    x_hat, _ = equalizer(y, 1e-4)
    assert wrong_signs(x_hat, data) == 0


@pytest.mark.parametrize("name", READOUTS)
def test_every_readout_equalizes(name):
    grid = make_grid(streams=2)
    y, _, data = send(grid, random_taps(np.random.default_rng(5), 3, 2, 3), 1e-4)
    equalizer = FixedPoleEqualizer(
        grid, management(grid), window=6, readout=READOUTS[name](), l_min=L_MIN
    )
    assert wrong_signs(equalizer(y, 1e-4)[0], data) == 0


@pytest.mark.parametrize(
    ("domain", "precision"), [("time", "single"), ("time", "double"), ("frequency", "double")]
)
def test_eager_graph_and_xla_agree(domain, precision):
    dtype = np.complex64 if precision == "single" else np.complex128
    grid = make_grid(streams=2)
    y, spectra, _ = send(grid, random_taps(np.random.default_rng(6), 2, 2, 3), 0.01, dtype=dtype)
    equalizer = FixedPoleEqualizer(
        grid, management(grid), poles=poles.ring(3), window=5, l_min=L_MIN, domain=domain,
        tracking=True, precision=precision,
    )  # fmt: skip
    y = tf.constant(y if domain == "time" else spectra)
    no = tf.constant(0.01, tf.float64 if precision == "double" else tf.float32)
    eager = equalizer(y, no)
    assert eager[0].dtype == dtype
    # The fit amplifies rounding by the condition number of the loaded Gram matrix, below 1e3 here.
    tolerance = 1e3 * np.finfo(dtype).eps
    for jit_compile in (False, True):
        compiled = tf.function(equalizer, jit_compile=jit_compile)(y, no)
        for got, expected in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_slots_are_independent_and_follow_a_permutation_of_the_batch():
    grid = make_grid(streams=2)
    y, _, _ = send(grid, random_taps(np.random.default_rng(8), 2, 2, 3), 0.1, batch=4)
    equalizer = FixedPoleEqualizer(grid, management(grid), window=6, l_min=L_MIN)
    order = [2, 0, 3, 1]
    no = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    whole, permuted = equalizer(y, no), equalizer(y[order], no[order])
    alone = equalizer(y[2:3], no[2:3])
    for w, p, a in zip(whole, permuted, alone, strict=True):
        np.testing.assert_allclose(np.asarray(w)[order], p, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(w[2:3], a, rtol=2e-4, atol=2e-4)


def test_scaling_the_input_with_its_noise_changes_nothing():
    grid = make_grid(streams=2)
    y, _, _ = send(grid, random_taps(np.random.default_rng(9), 2, 2, 3), 0.1, dtype=np.complex128)
    equalizer = FixedPoleEqualizer(
        grid, management(grid), poles=poles.ring(4), window=6, l_min=L_MIN, precision="double"
    )
    for got, expected in zip(equalizer(100 * y, 0.1 * 1e4), equalizer(y, 0.1), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


def test_two_receivers_detect_their_own_transmitters():
    grid = make_grid(num_tx=2, kind="full")
    taps = random_taps(np.random.default_rng(10), 6, 2, 3)
    y, _, data = send(grid, taps, 1e-4)
    y = y.reshape(2, 2, 3, -1)
    crossed = management(grid, [[0, 1], [1, 0]])
    x_hat, no_eff = FixedPoleEqualizer(grid, crossed, window=6, l_min=L_MIN)(y, 1e-4)
    assert wrong_signs(x_hat, data) == 0
    single = FixedPoleEqualizer(grid, management(grid, [[1, 1]]), window=6, l_min=L_MIN)
    for tx, rx in ((0, 1), (1, 0)):
        alone, _ = single(y[:, rx : rx + 1], 1e-4)
        np.testing.assert_allclose(x_hat[:, tx], alone[:, tx], rtol=1e-3, atol=1e-3)
    assert no_eff.shape == (2, 2, 1, int(grid.num_data_symbols))


def test_tracking_follows_a_gain_that_drifts_within_the_slot():
    grid = make_grid(symbols=8, pilot_symbols=(1, 6), cp=8)
    y, _, data = send(grid, random_taps(np.random.default_rng(11), 2, 1, 2), 1e-4)
    drift = np.exp(1.2j * np.linspace(-1, 1, y.shape[-1])).astype(np.complex64)
    errors = {}
    for tracking in (False, True):
        equalizer = FixedPoleEqualizer(
            grid, management(grid), window=6, tracking=tracking, l_min=L_MIN
        )
        x_hat, _ = equalizer(y * drift, 1e-4)
        errors[tracking] = np.mean(np.abs(x_hat - data) ** 2)
    assert errors[True] < 0.25 * errors[False]


@pytest.mark.parametrize("no", [0.02, 0.2])
def test_stated_error_variance_is_the_measured_one(no):
    grid = make_grid(streams=2, fft=128, symbols=8, pilot_symbols=(1, 5))
    measured = []
    equalizer = FixedPoleEqualizer(grid, management(grid), window=8, l_min=L_MIN)
    for seed in range(20):
        taps = random_taps(np.random.default_rng(100 + seed), 3, 2, 3)
        y, _, data = send(grid, taps, no, batch=1, seed=seed)
        x_hat, no_eff = equalizer(y, no)
        measured.append(np.mean(np.abs(x_hat - data) ** 2 / no_eff))
    assert 0.8 < np.mean(measured) < 1.25


def test_an_unknown_interferer_is_suppressed():
    grid = make_grid(fft=128)
    rng = np.random.default_rng(12)
    own, _, data = send(grid, random_taps(rng, 3, 1, 3), 1e-3, seed=1)
    other, _, _ = send(grid, random_taps(rng, 3, 1, 3), 0.0, seed=2)
    # The interferer's pilots are other than ours: it sends ours only where it repeats our slot.
    other = np.roll(other, 40, axis=-1)
    x_hat, _ = FixedPoleEqualizer(grid, management(grid), window=6, l_min=L_MIN)(own + other, 1e-3)
    assert wrong_signs(x_hat, data) == 0


def ber_in_a_users_link(grid, equalizer, mode, precision):
    """Uncoded BER of Sionna's `sim_ber` at 2 and 30 dB, on a grid with a flat channel."""
    complex_type = tf.complex64 if precision == "single" else tf.complex128
    source, mapper = BinarySource(precision=precision), Mapper("qam", 2, precision=precision)
    place = ResourceGridMapper(grid, precision=precision)
    demapper = Demapper("app", "qam", 2, precision=precision)

    def link(batch_size, ebno_db):
        no = ebnodb2no(ebno_db, 2, 1.0, precision=precision)
        bits = source([batch_size, 1, 1, 2 * int(grid.num_data_symbols)])
        y = place(mapper(bits)) * tf.constant(0.6 - 0.8j, complex_type)
        noise = tf.complex(*(tf.random.normal(tf.shape(y), dtype=no.dtype) for _ in range(2)))
        y += noise * tf.cast(tf.sqrt(no / 2), complex_type)
        x_hat, no_eff = equalizer(y, no)
        return bits, demapper(x_hat, no_eff)

    ber, _ = sim_ber(
        link, [2.0, 30.0], 4, max_mc_iter=2, graph_mode=mode, verbose=False, early_stop=False,
        soft_estimates=True, precision=precision,
    )  # fmt: skip
    return ber


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_works_inside_a_users_sim_ber(mode, precision):
    grid = make_grid(precision=precision)
    equalizer = FixedPoleEqualizer(
        grid, management(grid), window=4, domain="frequency", precision=precision
    )
    ber = ber_in_a_users_link(grid, equalizer, mode, precision)
    # QPSK over AWGN has 3.75e-2 at 2 dB; the equalizer pays for what it learns.
    assert 0.03 < ber[0] < 0.06 and ber[1] == 0


def test_too_few_pilots_say_how_many_and_what_to_reduce():
    grid = make_grid(pilot_symbols=(1,))
    equalizer = FixedPoleEqualizer(grid, management(grid), window=30, poles=poles.ring(10))
    with pytest.raises(ValueError, match="64 pilot .* 80 features .*2 antennas.*reduce window"):
        equalizer(np.zeros((1, 1, 2, 360), np.complex64), 0.1)


BAD = {
    "resource_grid": (dict(resource_grid=3), TypeError),
    "stream_management": (dict(stream_management=3), TypeError),
    "poles": (dict(poles=[1.1]), ValueError),
    "window": (dict(window=-1), ValueError),
    "window must be positive": (dict(window=0), ValueError),
    "delay": (dict(delay=1.5), TypeError),
    "readout": (dict(readout="ridge"), TypeError),
    "basis": (dict(basis="laguerre"), ValueError),
    "l_min": (dict(l_min=2), ValueError),
    "domain": (dict(domain="delay"), ValueError),
    "tracking": (dict(tracking=1), TypeError),
    "tracking must be False": (dict(tracking=True), ValueError),
    "precision": (dict(precision="half"), ValueError),
    "dealy": (dict(dealy=7), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    grid = make_grid(pilot_symbols=(1,))
    options, error = BAD[name]
    arguments = dict(resource_grid=grid, stream_management=management(grid)) | options
    with pytest.raises(error, match=name):
        FixedPoleEqualizer(**arguments)


@pytest.mark.parametrize("placement", sorted(set(poles.PLACEMENTS) - {"delays"}))
def test_the_default_delay_stays_within_the_delay_line(placement):
    """With more poles than lags, over a channel of one tap: no error floor."""
    grid = make_grid()
    y, _, data = send(grid, np.ones((1, 1, 1)), 1e-6)
    placed = poles.PLACEMENTS[placement](8)
    equalizer = FixedPoleEqualizer(grid, management(grid), poles=placed, window=3, l_min=L_MIN)
    x_hat, _ = equalizer(y, 1e-6)
    assert np.mean(np.abs(x_hat - data) ** 2) < 1e-4


def test_recursive_least_squares_forgets_symbols_of_any_number_of_pilots():
    """Unequal combs: the weights are those of the ridge with older symbols weighing less."""
    grid = make_grid(kind="unequal")
    y, spectra, _ = send(grid, random_taps(np.random.default_rng(3), 1, 1, 3), 0.05)
    options = dict(window=4, delay=1, domain="frequency")
    readout = BlockRLS(forgetting=0.2)
    x_hat, _ = FixedPoleEqualizer(grid, management(grid), readout=readout, **options)(spectra, 0.05)
    (group,) = pilot_groups(grid)
    symbols = group.elements // 64
    assert len({np.sum(symbols == m) for m in np.unique(symbols)}) == 2
    omega = 2 * np.pi * (np.arange(64) - 32) / 64
    ramps = np.exp(1j * np.outer(1 - np.arange(4), omega))
    features = spectra[0, 0, 0][:, :, None] * ramps.T
    rows = features.reshape(-1, 4)[group.elements]
    weights = 0.2 ** (symbols.max() > symbols)
    gram = rows.conj().T * weights @ rows + 0.05 * np.eye(4)
    solved = np.linalg.solve(gram, rows.conj().T * weights @ group.targets[:, 0])
    output = (features @ solved).reshape(-1)[data_elements(grid)[0]]
    ratio = x_hat[0, 0, 0] / output  # the gain that makes it unbiased is real
    np.testing.assert_allclose(np.imag(ratio), 0, atol=1e-4)


def test_integers_may_be_tensors_as_sionna_gives_them():
    grid, y = make_grid(), tf.complex(tf.random.normal([1, 1, 1, 400]), 0.0)
    l_min, _ = time_lag_discrete_time_channel(grid.bandwidth)
    options = dict(window=np.int64(8), delay=np.array(4))
    given = FixedPoleEqualizer(grid, management(grid), l_min=l_min, **options)(y, 0.1)
    plain = FixedPoleEqualizer(grid, management(grid), l_min=-6, window=8, delay=4)(y, 0.1)
    np.testing.assert_array_equal(given[0], plain[0])


def test_bad_inputs_are_named():
    grid = make_grid()
    equalizer = FixedPoleEqualizer(grid, management(grid))
    with pytest.raises(ValueError, match="y must have shape"):
        equalizer(np.zeros((2, 1, 1, 5, 64), np.complex64), 0.1)
    with pytest.raises(TypeError, match="y must be complex"):
        equalizer(np.zeros((2, 1, 1, 400), np.float32), 0.1)
    with pytest.raises(ValueError, match="receivers"):
        equalizer(np.zeros((2, 3, 1, 400), np.complex64), 0.1)
    with pytest.raises(ValueError, match="no must"):
        equalizer(np.zeros((2, 1, 1, 400), np.complex64), np.zeros((2, 1, 1, 1), np.float32))
    with pytest.raises(ValueError, match=r"no must .*\[B, R, A\] = \[2, 1, 1\], got \(3,\)"):
        equalizer(np.zeros((2, 1, 1, 400), np.complex64), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="y must have at least the 350 samples"):
        equalizer(np.zeros((2, 1, 1, 349), np.complex64), 0.1)
    in_frequency = FixedPoleEqualizer(grid, management(grid), domain="frequency")
    with pytest.raises(ValueError, match="y must have 5 OFDM symbols of 64 subcarriers"):
        in_frequency(np.zeros((2, 1, 1, 5, 32), np.complex64), 0.1)
    with pytest.raises(ValueError, match="y must have at least .* known when a graph is traced"):
        specs = [tf.TensorSpec([2, 1, 1, None], tf.complex64), tf.TensorSpec([], tf.float32)]
        tf.function(equalizer, input_signature=specs).get_concrete_function()
    with pytest.raises(ValueError, match="stream_management must have"):
        FixedPoleEqualizer(grid, StreamManagement(np.array([[1]]), 2))


@pytest.mark.parametrize("options", [{}, {"poles": poles.ring(4, 0.7), "window": 4}])
def test_a_graph_may_leave_the_batch_open(options):
    grid = make_grid()
    taps = random_taps(np.random.default_rng(0), 2, 1, 3)
    y, _, _ = send(grid, taps, 0.01)
    equalizer = FixedPoleEqualizer(grid, management(grid), l_min=L_MIN, **options)

    @tf.function(input_signature=[tf.TensorSpec([None, *y.shape[1:]], tf.complex64)])
    def run(y):
        return equalizer(y, 0.01)

    for ours, theirs in zip(run(y), equalizer(y, 0.01), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert run.get_concrete_function().output_shapes[0][1:] == theirs.shape[1:]


@pytest.mark.parametrize("kind", ["full", "unequal", "shared"])
@pytest.mark.parametrize(("window", "delay"), [(1, 0), (5, 9), (20, -30)])
def test_products_of_a_delay_line_are_those_of_its_features(kind, window, delay):
    """From the displacement structure, windows beyond both ends of the slot included."""
    grid = make_grid(kind=kind, pilot_symbols=(0, 4), num_guard_carriers=(3, 2), dc_null=True)
    (group,) = pilot_groups(grid)
    front_end = TimeFrontEnd(
        grid, np.zeros(0, complex), "orthonormal", window, delay, "complex128", L_MIN
    )
    rng = np.random.default_rng(3)
    y = rng.normal(size=(2, 3, 355)) + 1j * rng.normal(size=(2, 3, 355))
    f = front_end.features(tf.constant(y), group.elements).numpy()
    adjoint = np.swapaxes(f.conj(), 1, 2)
    gram, moment = front_end.products(tf.constant(y), group.elements, group.targets)
    np.testing.assert_allclose(gram, adjoint @ f, rtol=0, atol=1e-12 * np.abs(f).max() ** 2 * 128)
    np.testing.assert_allclose(moment, adjoint @ group.targets, rtol=0, atol=1e-10)
