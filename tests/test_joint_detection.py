"""Joint detection of streams against trying all vectors in float64, and who makes use of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from sionna.phy.mapping import Constellation, Demapper

from rx_fixedpole.receivers import AutoReceiver, FixedPoleDetector
from rx_fixedpole.receivers.choice import Candidate, rate
from rx_fixedpole.receivers.joint_detection import LARGEST_EXACT, JointDetection
from rx_fixedpole.receivers.layout import StreamLayout
from rx_fixedpole.receivers.small_matrices import log_determinant
from tests.modes import complex_normal, without_graphs
from tests.test_calibration import bins
from tests.test_detector import bits_of, interference, received
from tests.test_equalizer import L_MIN, make_grid, management, random_taps, send

QPSK = dict(constellation_type="qam", num_bits_per_symbol=2)


def exhaustive(channel, signal, points, *, maxlog):
    """LLRs `[E, streams, bits]` of `[E, A, S]` and `[E, A]` over all vectors of symbols."""
    num_streams, num_bits = channel.shape[-1], int(np.log2(len(points)))
    vectors = np.array(list(itertools.product(range(len(points)), repeat=num_streams)))
    missed = signal[:, None] - points[vectors] @ np.swapaxes(channel, -1, -2)
    metric = -np.sum(np.abs(missed) ** 2, axis=-1)
    ones = (vectors[:, :, None] >> np.arange(num_bits)[::-1]) & 1
    total = (lambda x: x.max(-1)) if maxlog else (lambda x: logsumexp(x, axis=-1))
    llr = [
        total(metric[:, ones[:, s, b] == 1]) - total(metric[:, ones[:, s, b] == 0])
        for s in range(num_streams)
        for b in range(num_bits)
    ]
    return np.stack(llr, axis=-1).reshape(-1, num_streams, num_bits)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("num_streams", "num_bits", "num_ant"), [(2, 4, 3), (4, 2, 3), (5, 2, 6)])
def test_it_equals_trying_all_vectors(num_streams, num_bits, num_ant):
    """16-QAM, more streams than antennas, and K-Best that keeps every path."""
    grid = make_grid(streams=num_streams, symbols=3, fft=16, cp=2, pilot_symbols=(1,))
    layout = StreamLayout(grid, management(grid))
    constellation = Constellation("qam", num_bits, precision="double")
    detect = JointDetection(layout, constellation, num_paths=1024, precision="double")
    assert detect.exact == (2 ** (num_bits * num_streams) <= LARGEST_EXACT)
    assert detect.possible(num_ant) and detect.possible(1) == detect.exact
    channel = complex_normal(0, num_ant, num_streams, 2, 3, 16)
    signal = 2 * complex_normal(1, num_ant, 2, 3, 16)
    got = detect(tf.constant(channel), tf.constant(signal)).numpy()
    flat = np.transpose(channel, (2, 3, 4, 0, 1)), np.transpose(signal, (1, 2, 3, 0))
    flat = flat[0].reshape(-1, num_ant, num_streams), flat[1].reshape(-1, num_ant)
    points = np.asarray(constellation.points)
    expected = exhaustive(*flat, points, maxlog=not detect.exact)
    if not detect.exact:
        expected = np.clip(expected, -20, 20)  # as Sionna's list of paths does
    expected = expected.reshape(2, 3, 16, num_streams, num_bits)
    # Data are on the first and the last of the three symbols
    expected = np.transpose(expected[:, [0, 2]], (0, 3, 1, 2, 4))
    tolerance = 1e-9 if detect.exact else 1e-4  # K-Best has single-precision parts
    expected = expected.reshape(2, 1, num_streams, 32, num_bits)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_the_rate_of_all_streams_is_that_of_each_where_they_are_apart():
    channel = np.zeros((3, 2, 4, 6), complex)
    channel[0, 0], channel[2, 1] = complex_normal(0, 4, 6), complex_normal(1, 4, 6)
    gram = np.einsum("asbp,atbp->stbp", channel.conj(), channel)
    stated = 1 / np.abs(channel[[0, 2], [0, 1]]) ** 2  # [S, B, P]
    stated = np.transpose(stated, (1, 0, 2))[:, None]
    factors = np.array([0.5, 1.0, 3.0, 8.0])[:, None, None, None]
    apart = Candidate(None, None, tf.constant(factors * stated), tf.constant(stated))
    together = apart._replace(gram=tf.constant(gram))
    np.testing.assert_allclose(rate(together), rate(apart), rtol=1e-9)


@pytest.mark.parametrize("size", [1, 4])
def test_log_determinant_equals_lapack(size):
    root = complex_normal(0, 7, size, size)
    matrix = root @ root.conj().swapaxes(-1, -2) + 0.1 * np.eye(size)
    got = log_determinant(tf.constant(np.moveaxis(matrix, 0, -1)))
    np.testing.assert_allclose(got, np.linalg.slogdet(matrix)[1], atol=1e-10)


@pytest.mark.usefixtures("eagerly")
def test_the_detector_loses_fewer_bits_jointly_beside_an_interferer():
    grid = make_grid(fft=128, streams=2)
    y, h, data = received(grid, 0.3, num_ant=3, seed=4)
    y = y + interference(grid, 3)
    wrong = {}
    for detection in ("joint", "linear"):
        detector = FixedPoleDetector(grid, management(grid), detection=detection, **QPSK)
        llr = detector(y, h, 0.0, 0.3).numpy()
        wrong[detection] = np.mean((llr > 0) != bits_of(data))
    assert 0 < wrong["joint"] < 0.9 * wrong["linear"]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("output", ["bit", "symbol"])
@pytest.mark.parametrize("hard_out", [False, True])
@pytest.mark.parametrize(("streams", "precision"), [(2, "single"), (5, "double")])
def test_outputs_have_the_form_of_linear_detection(output, hard_out, streams, precision):
    grid = make_grid(streams=streams, fft=40)
    y, h, _ = received(grid, 0.1, num_ant=streams)
    if streams == 5 and output == "symbol" and not hard_out:
        output = "bit"  # K-Best has no logits
    common = dict(output=output, hard_out=hard_out, precision=precision, **QPSK)
    joint, linear = (
        FixedPoleDetector(grid, management(grid), detection=detection, **common)(y, h, 0.0, 0.1)
        for detection in ("joint", "linear")
    )
    assert joint.shape == linear.shape and joint.dtype == linear.dtype


@pytest.mark.parametrize(
    ("streams", "precision"),
    [(2, "single"), pytest.param(5, "double", marks=pytest.mark.slow)],
)
def test_eager_graph_and_xla_agree(streams, precision):
    dtype = np.complex64 if precision == "single" else np.complex128
    grid = make_grid(streams=streams, fft=40)
    y, h, _ = received(grid, 0.2, num_ant=5, dtype=dtype)
    common = dict(detection="joint", precision=precision, num_paths=20, **QPSK)
    detector = FixedPoleDetector(grid, management(grid), **common)
    arguments = [tf.constant(y), tf.constant(h), tf.constant(0.01, y.real.dtype)]
    with without_graphs():
        eager = detector(*arguments, 0.2)
    for jit_compile in (False, True):
        compiled = tf.function(lambda *a: detector(*a, 0.2), jit_compile=jit_compile)
        tolerance = 1e3 * np.finfo(dtype).eps * np.max(np.abs(eager))
        np.testing.assert_allclose(compiled(*arguments), eager, atol=tolerance)


@pytest.mark.usefixtures("eagerly")
def test_llrs_are_calibrated():
    ratios = bins("fixed_pole_joint", "nominal_2x2", 4.0)
    assert len(ratios) >= 5
    assert np.all((ratios > 1 / 1.5) & (ratios < 1.5)), ratios


class TestAuto:
    """The receiver that chooses, told the constellation."""

    @staticmethod
    def slots(streams, num_ant, no, *, cp=6, seed=2):
        grid = make_grid(symbols=6, pilot_symbols=(1, 4), fft=64, cp=cp, streams=streams)
        taps = random_taps(np.random.default_rng(seed), num_ant, streams, 4)
        return grid, *send(grid, taps, no, batch=4, seed=3)[::2]

    @pytest.mark.usefixtures("eagerly")
    def test_one_stream_is_demapped(self):
        grid, y, _ = self.slots(1, 2, 0.1)
        points = Constellation("qam", 2)
        common = dict(resource_grid=grid, stream_management=management(grid), l_min=L_MIN)
        symbols = AutoReceiver(**common)(y, 0.1)
        llr = AutoReceiver(**common, constellation=points)(y, 0.1)
        np.testing.assert_allclose(llr, Demapper("app", constellation=points)(*symbols), rtol=1e-5)

    @pytest.mark.usefixtures("eagerly")
    def test_several_streams_are_detected_together(self):
        grid, y, data = self.slots(2, 2, 0.1)
        common = dict(resource_grid=grid, stream_management=management(grid), l_min=L_MIN, l_max=6)
        wrong = {}
        for num_paths in (0, 64):
            receiver = AutoReceiver(
                **common, constellation=Constellation("qam", 2), num_paths=num_paths
            )
            llr = receiver(y, 0.1).numpy()
            wrong[num_paths] = np.mean((llr > 0) != bits_of(data))
        assert 0 < wrong[64] < 0.9 * wrong[0]

    @pytest.mark.usefixtures("eagerly")
    def test_a_slot_that_is_equalized_in_time_keeps_its_llrs(self):
        grid, y, data = self.slots(2, 4, 1e-3, cp=0)
        receiver = AutoReceiver(
            grid, management(grid), l_min=L_MIN, constellation=Constellation("qam", 2)
        )
        x_hat, no_eff, best = receiver.chosen(y, 1e-3)
        assert np.all(best.numpy() >= 2)
        expected = Demapper("app", constellation=Constellation("qam", 2))(x_hat, no_eff)
        llr = receiver(y, 1e-3)
        np.testing.assert_allclose(llr, expected, rtol=1e-5)
        assert np.mean((llr.numpy() > 0) != bits_of(data)) < 0.01


BAD = {
    "detection": (FixedPoleDetector, dict(detection="ml", **QPSK)),
    "num_paths": (FixedPoleDetector, dict(num_paths=0, **QPSK)),
    "num_paths must be": (AutoReceiver, dict(num_paths=-1)),
    "constellation": (AutoReceiver, dict(constellation=4)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    grid = make_grid(streams=2)
    receiver, options = BAD[name]
    with pytest.raises((TypeError, ValueError), match=name):
        receiver(grid, management(grid), **options)


@pytest.mark.usefixtures("eagerly")
def test_what_cannot_be_detected_jointly_is_refused():
    grid = make_grid(num_tx=2, kind="full")
    with pytest.raises(ValueError, match="stream_management must have one receiver"):
        FixedPoleDetector(grid, management(grid, [[0, 1], [1, 0]]), detection="joint", **QPSK)
    grid = make_grid(streams=5)
    with pytest.raises(ValueError, match="output must be 'bit'"):
        FixedPoleDetector(grid, management(grid), detection="joint", output="symbol", **QPSK)
    y, h, _ = received(grid, 0.1, num_ant=3)
    with pytest.raises(ValueError, match="y must come from 5 antennas"):
        FixedPoleDetector(grid, management(grid), detection="joint", **QPSK)(y, h, 0.0, 0.1)
