"""The simulated link against closed forms, Sionna's blocks and its own promises."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import oracles
import pytest
import tensorflow as tf
from modes import without_graphs
from sionna.phy import config
from sionna.phy.channel import ApplyTimeChannel, cir_to_time_channel
from sionna.phy.channel.tr38901 import TDL
from sionna.phy.fec.ldpc import LDPC5GDecoder
from sionna.phy.ofdm import KroneckerPilotPattern, OFDMDemodulator, OFDMModulator

from sims.impairments import IMPAIRMENTS
from sims.link import Link
from sims.link.channel import TimeChannel
from sims.link.coding import Codec
from sims.link.grid import pilots_of, resource_grid
from sims.link.ofdm import best_offset, modulate
from sims.scenario import SCENARIOS, Scenario

TINY = Scenario(
    name="tiny",
    fft_size=16,
    cp_length=14,
    num_ofdm_symbols=4,
    pilot_symbols=(1,),
    channel="tdl-a",
    delay_spread=300e-9,
    num_users=2,
    num_tx_ant=2,
    num_rx_ant=3,
    num_bits_per_symbol=2,
    coderate=None,
    num_guard_carriers=(1, 2),
    dc_null=True,
)
FLAT = TINY.replace(delay_spread=0, num_users=1, num_tx_ant=1, num_rx_ant=1, channel="awgn")
FAST = TINY.replace(speed=300, num_users=1, num_tx_ant=1, num_rx_ant=2)


@functools.cache
def link_of(scenario: Scenario, precision: str = "single") -> Link:
    return Link(scenario, precision=precision)


def data_of(link: Link, grid: tf.Tensor) -> np.ndarray:
    """Return the data resource elements ``[..., D]`` of a grid."""
    s = link.scenario
    symbols = np.setdiff1d(np.arange(s.num_ofdm_symbols), s.pilot_symbols)
    carriers = np.asarray(link.resource_grid.effective_subcarrier_ind)
    picked = np.asarray(grid)[..., symbols, :][..., carriers]
    return picked.reshape(*picked.shape[:-2], -1)


def sent_through(link: Link, slots) -> np.ndarray:
    h = link.frequency_response(slots.h_time).numpy()
    return np.einsum("braumnk,bumnk->brank", h, slots.x.numpy())


def power(v) -> float:
    return float(np.mean(np.abs(v) ** 2))


# --- closed forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["awgn", "rayleigh"])
@pytest.mark.parametrize(("num_bits", "ebno_db"), [(2, 4.0), (4, 7.0)])
def test_uncoded_error_rates_are_the_closed_forms(channel, num_bits, ebno_db):
    link = link_of(FLAT.replace(channel=channel, num_bits_per_symbol=num_bits))
    errors, blocks = [], []
    for _ in range(4):
        slots = link.transmit(1000, ebno_db)
        h = data_of(link, link.frequency_response(slots.h_time))[:, 0, 0]
        x_hat = data_of(link, slots.y)[:, 0, 0][:, None, None] / h
        llr = link.demap(tf.constant(x_hat), slots.no / np.abs(h) ** 2)
        bit_errors, block_errors = link.count(slots, llr)
        errors.append(bit_errors)
        blocks.append(block_errors)
    rates = np.concatenate(errors) / link.bits_per_slot
    expected = {"awgn": oracles.ber_awgn, "rayleigh": oracles.ber_rayleigh}[channel]
    sigma = rates.std() / np.sqrt(rates.size)
    assert abs(rates.mean() - expected(num_bits, ebno_db)) < 4 * sigma
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(errors) > 0)


def test_noise_has_the_variance_of_the_ebno():
    link = link_of(FLAT.replace(num_bits_per_symbol=4, fft_size=128, coderate=0.4))
    slots = link.transmit(200, 7.0)
    assert float(slots.no) == pytest.approx(1 / (10**0.7 * 4 * 0.4), rel=1e-6)
    for noise in (slots.y[:, 0] - slots.x[:, 0], slots.y_time[..., -6:]):
        # After the last symbol the channel of one tap brings nothing but noise.
        n = np.asarray(noise)
        assert abs(power(n) / float(slots.no) - 1) < 4 / np.sqrt(n.size)
        assert abs(np.mean(n**2)) < 4 * float(slots.no) / np.sqrt(n.size)


def test_symbols_have_unit_power_pilots_included():
    s = SCENARIOS["cdl_2x2"]
    mask, pilots = pilots_of(s)
    np.testing.assert_allclose(np.mean(np.abs(pilots) ** 2, axis=-1), 1)
    slots = link_of(TINY).transmit(100, 10.0)
    carriers = np.asarray(link_of(TINY).resource_grid.effective_subcarrier_ind)
    x = slots.x.numpy()
    assert power(x[..., carriers]) == pytest.approx(1, rel=1e-5)  # QPSK throughout
    np.testing.assert_array_equal(np.delete(x, carriers, axis=-1), 0)


# --- channel ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "antennas"),
    [
        ("rayleigh", (1, 2)),
        ("tdl-c", (2, 1)),
        ("tdl-d", (1, 1)),
        ("cdl-c", (2, 2)),
        ("cdl-d", (1, 2)),
        ("cdl-e", (1, 1)),
    ],
)
def test_channels_have_unit_mean_power(channel, antennas):
    spread = 0 if channel == "rayleigh" else 200e-9
    s = FLAT.replace(
        channel=channel,
        delay_spread=spread,
        num_tx_ant=antennas[0],
        num_rx_ant=antennas[1],
        fft_size=64,
    )
    energy = np.sum(np.abs(link_of(s).channel_draws(512, 3)) ** 2, axis=(-2, -1))
    per_slot = energy.reshape(512, -1).mean(axis=1)
    # 1 %: what the sinc's tails carry outside of the lags.
    assert abs(per_slot.mean() - 1) < 4 * per_slot.std() / np.sqrt(512) + 0.01


def test_a_normalized_channel_has_unit_energy_in_every_slot():
    taps = link_of(TINY.replace(normalize_channel=True)).channel_draws(8, 3)
    energy = np.sum(np.abs(taps) ** 2, axis=(-2, -1)).mean(axis=(1, 2, 4))
    np.testing.assert_allclose(energy, 1, rtol=1e-5)


def test_users_and_antennas_are_independent():
    taps = link_of(TINY).channel_draws(2048, 3).numpy()[:, 0, :, :, :, 0, 6]
    h = taps.reshape(2048, -1)
    correlation = h.conj().T @ h / 2048 / np.mean(np.abs(h) ** 2)
    assert np.abs(correlation - np.eye(12)).max() < 5 / np.sqrt(2048)


@pytest.mark.parametrize("scenario", [TINY, FAST], ids=["static", "moving"])
def test_received_samples_are_the_filtered_waveform(scenario):
    link = link_of(scenario, "double")
    slots = link.transmit(2, 300.0)
    x = np.apply_along_axis(
        lambda g: oracles.ofdm_waveform(g.reshape(4, 16), scenario.cp_length),
        -1,
        slots.x.numpy().reshape(2, scenario.num_users, scenario.num_tx_ant, -1),
    )
    h = slots.h_time.numpy()
    num_out = slots.y_time.shape[-1]
    assert h.shape[-2] == (1 if scenario.speed == 0 else num_out)
    h = np.broadcast_to(h, [*h.shape[:-2], num_out, h.shape[-1]])
    for b, antenna in np.ndindex(2, scenario.num_rx_ant):
        expected = sum(
            oracles.time_variant_filter(x[b, u, s], h[b, 0, antenna, u, s])
            for u, s in np.ndindex(scenario.num_users, scenario.num_tx_ant)
        )
        np.testing.assert_allclose(slots.y_time[b, 0, antenna], expected, atol=1e-10)
    sionna = ApplyTimeChannel(x.shape[-1], h.shape[-1], precision="double")(x, h)
    np.testing.assert_allclose(slots.y_time, sionna, atol=1e-10)


def test_taps_between_knots_are_those_of_the_exact_channel():
    s = SCENARIOS["high_speed"].replace(num_ofdm_symbols=6, pilot_symbols=(2,))
    channel = TimeChannel(s, num_users=1, num_tx_ant=1, precision="double")
    assert 1 < channel.num_knots < channel.num_samples / 10
    config.seed = 4
    taps = channel.at_samples(channel.taps(2))
    config.seed = 4
    model = TDL(
        "A",
        s.delay_spread,
        s.carrier_frequency,
        min_speed=s.speed / 3.6,
        num_rx_ant=2,
        precision="double",
    )
    gains, delays = model(2, channel.num_samples, s.sample_rate)
    exact = cir_to_time_channel(s.sample_rate, gains, delays, *s.lags)
    assert power(taps - exact) < 1e-8 * power(exact)
    moved = exact[..., -1, :] - exact[..., 0, :]
    assert power(moved) > 0.05 * power(exact)


def test_the_interferer_has_the_given_power():
    s = SCENARIOS["interference"].replace(
        interferer_sir_db=-3.0, num_ofdm_symbols=4, pilot_symbols=(1,)
    )
    link = link_of(s)
    slots = link.transmit(500, 200.0)
    signal = sent_through(link, slots)
    wanted, unwanted = (
        (np.abs(v) ** 2).mean(axis=(1, 2, 3, 4)) for v in (signal, slots.y.numpy() - signal)
    )
    ratio = wanted.mean() / unwanted.mean()
    spread = np.hypot(wanted.std() / wanted.mean(), unwanted.std() / unwanted.mean())
    assert abs(ratio / 10**-0.3 - 1) < 4 * spread / np.sqrt(500)
    # No resource element is left out, those of the pilots neither.
    assert (np.abs(slots.y.numpy() - signal) ** 2).mean(axis=(0, 1, 2)).min() > 0.2


# --- grid and window -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario", [TINY, TINY.replace(channel="cdl-c", num_users=1, num_rx_ant=2)], ids=["tdl", "cdl"]
)
def test_without_noise_the_grid_is_response_times_symbols(scenario):
    l_min, l_max = scenario.lags
    link = link_of(scenario.replace(cp_length=l_max - l_min), "double")
    slots = link.transmit(3, 300.0)
    np.testing.assert_allclose(slots.y.numpy(), sent_through(link, slots), atol=1e-10)


def test_a_moving_channel_gives_every_symbol_its_own_gain():
    link = link_of(FAST.replace(cp_length=16), "double")
    s = link.scenario
    h_time = link.transmit(1, 0.0).h_time
    h = link.frequency_response(h_time).numpy()
    for m, k in [(0, 2), (3, 11)]:
        x = np.zeros([1, 1, 1, s.num_ofdm_symbols, s.fft_size], complex)
        x[..., m, k] = 1
        x_time = modulate(tf.constant(x), s)
        y_time = ApplyTimeChannel(x_time.shape[-1], h_time.shape[-1], precision="double")(
            x_time, h_time
        )
        y = link.demodulate(y_time, link.fft_offset).numpy()
        np.testing.assert_allclose(y[..., m, k], h[:, :, :, 0, 0, m, k], atol=1e-10)
    assert np.abs(h[..., 0, :] - h[..., 3, :]).max() > 0.1


def test_modulation_and_demodulation_are_sionnas():
    link = link_of(TINY)
    slots = link.transmit(2, 10.0)
    np.testing.assert_allclose(modulate(slots.x, TINY), OFDMModulator(14)(slots.x), atol=1e-5)
    sionna = OFDMDemodulator(16, link.l_min, 14)(slots.y_time)
    np.testing.assert_allclose(link.demodulate(slots.y_time), sionna, atol=1e-5)


def test_within_the_prefix_the_offset_changes_nothing():
    link = link_of(TINY.replace(cp_length=14, l_max=4), "double")
    y_time = link.transmit(2, 300.0).y_time
    expected = link.demodulate(y_time).numpy()
    for offset in (-4, -1):
        np.testing.assert_allclose(link.demodulate(y_time, offset), expected, atol=1e-10)
    assert np.abs(link.demodulate(y_time, 6) - expected).max() > 0.1
    for offset in (-15, 11):
        with pytest.raises(ValueError, match=r"offset must be in -14\.\.10"):
            link.demodulate(y_time, offset)


def test_a_tap_beyond_the_prefix_costs_what_the_offset_assumes():
    n, cp, late = 64, 4, 5
    x = 1.0 - 2 * np.random.default_rng(1).integers(0, 2, [4000, n])
    symbols = np.fft.ifft(x, norm="ortho")
    signal = np.concatenate([symbols[:, -cp:], symbols], axis=1).ravel()
    received = np.roll(signal, cp + late).reshape(-1, n + cp)[1:, cp:]
    y = np.fft.fft(received, norm="ortho")
    y *= np.exp(2j * np.pi * np.arange(n) * (cp + late) / n)
    gain, lost = np.mean(y * x[1:]), late / n
    assert abs(gain - (1 - lost)) < 0.005
    assert power(y - gain * x[1:]) == pytest.approx(2 * lost - lost**2, rel=0.03)


@pytest.mark.parametrize(
    ("powers", "offset"),
    # With offset o a prefix of 4 reaches the lags o - 6 .. o - 2.
    [
        ({0: 1}, 2),
        ({-6: 1}, 0),
        ({0: 1, 3: 1}, 5),
        ({7: 1}, 9),
        ({-2: 1, 4: 1e-3}, 4),
        ({-3: 1e-3, 4: 1}, 6),
    ],
)
def test_the_offset_is_the_smallest_that_loses_least(powers, offset):
    taps = np.zeros(19)
    for lag, value in powers.items():
        taps[lag + 6] = value
    assert best_offset(taps, FLAT.replace(fft_size=64, cp_length=4, l_max=12)) == offset


@pytest.mark.parametrize("pattern", ["kronecker", "full"])
def test_pilots_lie_as_described(pattern):
    s = TINY.replace(pilot_pattern=pattern)
    mask, pilots = pilots_of(s)
    assert mask.shape == (2, 2, 4, 12)
    assert mask[:, :, 1].all() and mask.sum() == 4 * 12
    active = np.abs(pilots.reshape(4, 12)) > 0
    if pattern == "full":
        assert active.all()
        np.testing.assert_allclose(np.abs(pilots), 1)
    else:
        np.testing.assert_array_equal(np.argmax(active, axis=0), np.arange(12) % 4)
        np.testing.assert_array_equal(active.sum(axis=0), 1)
    assert not np.allclose(pilots, pilots_of(s.replace(pilot_seed=1))[1])


def test_kronecker_pilots_are_sionnas_where_sionna_has_them():
    s = SCENARIOS["nominal_2x2"]
    mine = resource_grid(s, "single")
    sionna = KroneckerPilotPattern(mine, list(s.pilot_symbols))
    np.testing.assert_array_equal(mine.pilot_pattern.mask, sionna.mask)
    np.testing.assert_allclose(np.abs(mine.pilot_pattern.pilots), np.abs(sionna.pilots), rtol=1e-6)


# --- randomness and graphs -------------------------------------------------------------------

REPLAY = """
import hashlib
from sionna.phy import config
from sims.link import Link
from sims.scenario import Scenario
link = Link(Scenario.from_dict({0!r}))
config.seed = 7
print(hashlib.sha256(link.transmit(3, 5.0).y_time.numpy().tobytes()).hexdigest())
"""


def test_a_seed_replays_slots_exactly_here_and_in_another_process():
    scenario = FAST.replace(impairments={"phase_noise": {}, "impulsive_noise": {}})
    link = link_of(scenario)
    config.seed = 7
    first = link.transmit(3, 5.0)
    link.transmit(2, 0.0)
    link.channel_draws(3, 1)
    config.seed = 7
    again = link.transmit(3, 5.0)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    config.seed = 8
    assert not np.array_equal(link.transmit(3, 5.0).bits, first.bits)
    run = subprocess.run(
        [sys.executable, "-c", REPLAY.format(scenario.to_dict())],
        text=True,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert run.stdout.split()[-1] == hashlib.sha256(first.y_time.numpy().tobytes()).hexdigest()


def test_what_does_not_transmit_leaves_the_random_stream_alone():
    config.seed = 3
    expected = config.tf_rng.normal([4]).numpy()
    config.seed = 3
    link = Link(FLAT.replace(channel="rayleigh"))
    assert isinstance(link.fft_offset, int)
    link.channel_draws(5, 9)
    np.testing.assert_array_equal(config.tf_rng.normal([4]), expected)


def test_channel_draws_are_a_stream_of_their_own():
    link = link_of(FAST)
    draws = link.channel_draws(70, 5)
    assert draws.shape == (70, 1, 2, 1, 1, 4, link.l_max - link.l_min + 1)
    np.testing.assert_array_equal(draws[:10], link.channel_draws(10, 5))
    assert not np.allclose(draws[:10], link.channel_draws(10, 6))
    assert link.frequency_response(draws).shape == (70, 1, 2, 1, 1, 4, 16)


def test_channel_draws_average_over_the_window_as_the_response_does():
    link = link_of(FAST, "double")
    channel = TimeChannel(FAST, num_users=1, num_tx_ant=1, precision="double")
    config.seed = 5
    taps = channel.at_samples(channel.taps(64))
    draws = link.channel_draws(64, 5)
    np.testing.assert_allclose(
        link.frequency_response(draws), link.frequency_response(taps), atol=1e-10
    )


def test_one_graph_serves_all_ebno():
    link = Link(FLAT)
    for ebno_db in (0, 3.0, tf.constant(5.0)):
        link.transmit(2, ebno_db)
    assert link._transmit.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("precision", ["single", "double"])
def test_precision_is_kept(precision):
    slots = link_of(TINY, precision).transmit(1, 5.0)
    dtype = tf.complex64 if precision == "single" else tf.complex128
    assert {slots.x.dtype, slots.y.dtype, slots.y_time.dtype, slots.h_time.dtype} == {dtype}


# --- presets, impairments, code --------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_preset_transmits(name):
    link = link_of(SCENARIOS[name])
    s = link.scenario
    # Tracing the generator of drops takes longer than two of them
    with without_graphs() if s.channel == "umi" else nullcontext():
        slots = link.transmit(2, 10.0)
    users = (2, s.num_users, s.num_tx_ant)
    samples = s.num_ofdm_symbols * (s.fft_size + s.cp_length) + link.l_max - link.l_min
    assert slots.bits.shape == (*users, s.num_info_bits)
    assert slots.coded_bits.shape == (*users, s.num_coded_bits)
    assert slots.x.shape == (*users, s.num_ofdm_symbols, s.fft_size)
    assert slots.y_time.shape == (2, 1, s.num_rx_ant, samples)
    assert slots.y.shape == (2, 1, s.num_rx_ant, s.num_ofdm_symbols, s.fft_size)
    assert slots.h_time.shape[:5] == (2, 1, s.num_rx_ant, *users[1:])
    assert all(np.isfinite(v).all() for v in map(np.asarray, slots))
    assert (link.bits_per_slot, link.blocks_per_slot) == (
        s.num_streams * s.num_info_bits,
        s.num_streams,
    )


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_every_impairment_touches_the_samples_and_not_the_rest(name):
    clean, dirty = link_of(TINY), link_of(TINY.replace(impairments={name: {}}))
    config.seed = 2
    expected = clean.transmit(2, 5.0)
    config.seed = 2
    slots = dirty.transmit(2, 5.0)
    np.testing.assert_array_equal(slots.x, expected.x)
    np.testing.assert_array_equal(slots.h_time, expected.h_time)
    assert np.abs(slots.y_time - expected.y_time).max() > 1e-4


def test_coded_slots_are_decoded_and_counted():
    link = link_of(FLAT.replace(fft_size=64, coderate=0.5, num_users=2, num_rx_ant=2))
    slots = link.transmit(6, 0.0)
    llr = 8 * (2 * slots.coded_bits.numpy() - 1)
    np.testing.assert_array_equal(link.decode(llr), slots.bits)
    bit_errors, block_errors = link.count(slots, llr)
    assert bit_errors.shape == block_errors.shape == (6,)
    assert not bit_errors.any() and not block_errors.any()
    llr[2, 1] *= -1  # the complement of a codeword of this code is another one
    llr[4] *= -1
    bit_errors, block_errors = link.count(slots, llr)
    np.testing.assert_array_equal(bit_errors > 0, [0, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(block_errors, [0, 0, 1, 0, 2, 0])


def test_leaving_the_decoder_early_changes_no_decision():
    s = SCENARIOS["nominal_siso"]
    codec = Codec(s, "single")
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2, [48, 1, 1, s.num_info_bits]).astype(np.float32)
    coded = codec.encode(bits).numpy()
    sigma = np.linspace(0.7, 0.95, 48)[:, None, None, None]
    llr = (2 / sigma**2 * (2 * coded - 1 + sigma * rng.normal(size=coded.shape))).astype("f")
    reference = LDPC5GDecoder(codec._ldpc.encoder, num_iter=s.num_decoder_iterations)(llr)
    decided = codec.decode(llr).numpy()
    np.testing.assert_array_equal(decided, reference)
    wrong = (decided != bits).any(axis=-1).mean()
    assert 0.1 < wrong < 0.9


@pytest.mark.parametrize("num_iterations", [1, 10, 11])
def test_any_number_of_iterations_decodes_without_noise(num_iterations):
    s = FLAT.replace(fft_size=64, coderate=0.5, num_decoder_iterations=num_iterations)
    codec = Codec(s, "single")
    bits = np.random.default_rng(2).integers(0, 2, [3, 1, 1, s.num_info_bits]).astype(np.float32)
    llr = 8 * (2 * codec.encode(bits) - 1)
    if num_iterations > 1:  # one iteration does not reach the punctured bits
        np.testing.assert_array_equal(codec.decode(llr), bits)
    else:
        assert codec.decode(llr).shape == bits.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Link("nominal_siso"), TypeError, "scenario must be a Scenario"),
        (lambda: Link(FLAT, precision="half"), ValueError, "precision must be 'single'"),
        (lambda: link_of(FLAT).transmit(0, 5.0), ValueError, "batch_size must be an integer >= 1"),
        (
            lambda: link_of(FLAT).frequency_response(tf.zeros([1, 1, 1, 1, 1, 7, 13])),
            ValueError,
            "h_time must have 1, 4 or",
        ),
    ],
)
def test_misuse_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
