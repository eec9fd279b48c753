"""PUSCH: the receiver in the time domain, and the laboratory's scenarios of the 5G NR uplink."""

from __future__ import annotations

import functools
import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config
from sionna.phy.mimo import StreamManagement
from sionna.phy.nr import PUSCHConfig, PUSCHReceiver, PUSCHTransmitter, TBDecoder

from rx_fixedpole import FixedPoleEqualizer, TimeDomainPUSCHReceiver
from scripts import ber_sweep
from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.scenario import SCENARIOS, PUSCHScenario, Scenario
from sims.sweep.evaluator import SionnaEvaluator
from sims.sweep.selection import choose_scenario
from tests.modes import MODES, in_mode

pytestmark = pytest.mark.tensorflow_only

L_MIN, L_MAX = -1, 4
BATCH = 3


def hand_on(llr):
    """In the place of a transport block decoder: what it would have decoded."""
    return llr, None


@functools.cache
def transmitter(
    *, num_prb=4, layers=1, ports=None, users=1, extra=1, tpmi=None, precision="single"
):
    configs = []
    for user in range(users):
        one = PUSCHConfig(
            num_layers=layers,
            num_antenna_ports=ports or layers,
            precoding="non-codebook" if tpmi is None else "codebook",
            tpmi=tpmi or 0,
        )
        one.carrier.n_size_grid, one.carrier.subcarrier_spacing = num_prb, 30
        one.dmrs.additional_position = extra
        one.dmrs.dmrs_port_set = list(range(user * layers, (user + 1) * layers))
        one.n_rnti = 1 + user
        configs.append(one)
    return PUSCHTransmitter(configs, output_domain="time", precision=precision)


@functools.cache
def receiver(*, bits=True, **fields):
    """The receiver of `transmitter` with its CRC status, or with the LLRs of the codeword."""
    sender = transmitter(**fields)
    more = dict(return_tb_crc_status=True) if bits else dict(tb_decoder=hand_on)
    precision = fields.get("precision", "single")
    return TimeDomainPUSCHReceiver(sender, l_min=L_MIN, precision=precision, **more)


@functools.cache
def slots(no=0.0, **fields):
    """Samples ``[B, 1, A, T]`` behind three mild taps an antenna pair, and the bits sent."""
    config.seed = 5
    x, bits = (v.numpy() for v in transmitter(**fields)(BATCH))
    rng = np.random.default_rng(3)
    num_senders = x.shape[1] * x.shape[2]
    num_ant = 2 * num_senders
    shape = (BATCH, num_ant, num_senders, 3)
    taps = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * [1, 0.3, 0.1]
    y = np.zeros((BATCH, 1, num_ant, x.shape[-1] + L_MAX - L_MIN), x.dtype)
    for b, a, s, lag in np.ndindex(shape):
        start = lag - L_MIN
        y[b, 0, a, start : start + x.shape[-1]] += (
            taps[b, a, s, lag] * x.reshape(BATCH, num_senders, -1)[b, s]
        )
    noise = rng.normal(size=(2, *y.shape)) * np.sqrt(no / 2)
    return (y + noise[0] + 1j * noise[1]).astype(x.dtype), bits


class TestReceiver:
    @pytest.mark.usefixtures("eagerly")
    @pytest.mark.parametrize(
        "fields",
        [
            dict(extra=0),
            dict(num_prb=52),
            dict(layers=2),
            dict(users=2),
            dict(layers=2, ports=4, tpmi=14),
            dict(precision="double"),
        ],
        ids=str,
    )
    def test_decodes_all_blocks_without_noise(self, fields):
        y, bits = slots(**fields)
        b_hat, crc = receiver(**fields)(y, 1e-4)
        np.testing.assert_array_equal(b_hat, bits)
        assert crc.shape == bits.shape[:2] and crc.dtype == tf.bool and np.all(crc)
        assert b_hat.dtype == (tf.float64 if "precision" in fields else tf.float32)

    @pytest.mark.parametrize("mode", MODES)
    def test_runs_in_every_mode(self, mode):
        y, bits = slots()
        b_hat, crc = in_mode(receiver(), mode)(y, np.float32(1e-4))
        np.testing.assert_array_equal(b_hat, bits)
        assert crc.all()

    @pytest.mark.parametrize(("mode", "precision"), [("graph", "single"), ("xla", "double")])
    def test_the_modes_agree(self, mode, precision):
        y, _ = slots(no=0.1, precision=precision)
        receive = receiver(bits=False, precision=precision)
        no = np.asarray(0.1, y.real.dtype)
        tolerance = 2e-2 if precision == "single" else 1e-8
        np.testing.assert_allclose(
            in_mode(receive, mode)(y, no), in_mode(receive, "eager")(y, no), atol=tolerance
        )

    @pytest.mark.usefixtures("eagerly")
    def test_returns_what_the_receiver_of_sionna_returns(self):
        y, _ = slots(no=0.1)
        theirs = PUSCHReceiver(
            transmitter(), return_tb_crc_status=True, input_domain="time", l_min=L_MIN
        )
        expected, got = theirs(y, 0.1), receiver()(y, 0.1)
        for one, other in zip(got, expected, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
        alone = TimeDomainPUSCHReceiver(transmitter(), l_min=L_MIN)(y, 0.1)
        np.testing.assert_array_equal(alone, got[0])

    @pytest.mark.usefixtures("eagerly")
    def test_the_crc_tells_wrong_blocks(self):
        y, bits = slots(no=4.0)
        b_hat, crc = receiver()(y, 4.0)
        np.testing.assert_array_equal(np.all(b_hat == bits, axis=-1), crc)
        assert not np.all(crc)

    @pytest.mark.usefixtures("eagerly")
    def test_slots_are_received_one_by_one(self):
        y, _ = slots(no=0.1, layers=2)
        receive = receiver(bits=False, layers=2)
        whole = receive(y, 0.1)
        for b in range(BATCH):
            np.testing.assert_allclose(receive(y[b : b + 1], 0.1)[0], whole[b], atol=2e-2)

    def test_the_batch_size_may_be_unknown(self):
        y, bits = slots()
        shapes = [tf.TensorSpec([None, *y.shape[1:]], y.dtype), tf.TensorSpec([], tf.float32)]
        receive = tf.function(receiver(), input_signature=shapes, autograph=False)
        b_hat, _ = receive(y, 1e-4)
        np.testing.assert_array_equal(b_hat, bits)

    @pytest.mark.usefixtures("eagerly")
    def test_takes_any_equalizer_and_decoder(self):
        y, bits = slots()
        sender = transmitter()
        management = StreamManagement(np.ones([1, 1], int), 1)
        equalizer = FixedPoleEqualizer(sender.resource_grid, management, window=8, l_min=L_MIN)
        called = []

        def equalize(y, no):
            called.append(1)
            return equalizer(y, no)

        decoder = TBDecoder(sender._tb_encoder, num_bp_iter=10)
        for method in ("app", "maxlog"):
            receive = TimeDomainPUSCHReceiver(
                sender, equalizer=equalize, tb_decoder=decoder, demapping_method=method
            )
            np.testing.assert_array_equal(receive(y, 1e-4), bits)
        assert len(called) == 2
        assert receive.resource_grid is sender.resource_grid

    @pytest.mark.parametrize(
        ("fields", "error", "message"),
        [
            (dict(), ValueError, "l_min must be given unless equalizer is"),
            (dict(l_min=1), ValueError, "l_min must be <= 0, got 1"),
            (dict(l_min=0.5), TypeError, "l_min must be an integer"),
            (dict(equalizer=3), TypeError, "equalizer must be a callable .* or None, got 3"),
            (dict(equalizer=hand_on, l_min=0), ValueError, "l_min must be None when equalizer"),
            (
                dict(equalizer=hand_on, stream_management=StreamManagement([[1]], 1)),
                ValueError,
                "stream_management must be None when equalizer",
            ),
            (dict(l_min=0, tb_decoder="LDPC"), TypeError, "tb_decoder must be a callable"),
            (dict(l_min=0, return_tb_crc_status=1), TypeError, "return_tb_crc_status must be True"),
            (dict(l_min=0, demapping_method="max"), ValueError, "demapping_method must be one of"),
            (
                dict(l_min=0, stream_management=StreamManagement([[1]], 2)),
                ValueError,
                "stream_management must have the transmitters and streams",
            ),
            (dict(l_min=0, stream_management=1), TypeError, "stream_management must be a Stream"),
        ],
    )
    def test_wrong_arguments_are_named(self, fields, error, message):
        with pytest.raises(error, match=message):
            TimeDomainPUSCHReceiver(transmitter(), **fields)

    def test_a_grid_is_no_transmitter(self):
        with pytest.raises(TypeError, match="pusch_transmitter must be a PUSCHTransmitter"):
            TimeDomainPUSCHReceiver(transmitter().resource_grid, l_min=0)


BASE = SCENARIOS["pusch_4prb"]
TWO_LAYERS = dict(num_layers=2, num_tx_ant=2, num_rx_ant=4)
PRECODED = dict(num_layers=2, num_tx_ant=4, num_rx_ant=4, tpmi=14)
# Digest of the other presets as a sweep writes them: seeds and stored results hang on it
PRESETS_BEFORE = [
    "cdl_2x2", "nominal_siso", "nominal_2x2", "short_cp", "interference", "high_speed", "pa",
    "multi_user", "scarce_pilots", "awgn", "rayleigh",
]  # fmt: skip
DIGEST_BEFORE = "f653d7070cd88c84c9aec42a0d07a04201bf04edb18b3a2270a28b92e447092f"


@functools.cache
def link_of(**changes):
    return Link(BASE.replace(**changes))


class TestScenario:
    def test_the_identities_of_other_scenarios_stay(self):
        values = [SCENARIOS[name].to_dict() for name in PRESETS_BEFORE]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == DIGEST_BEFORE

    def test_facts_are_those_of_the_standard(self):
        s = SCENARIOS["pusch_52prb"]
        assert (s.fft_size, s.cp_length, s.pilot_symbols) == (624, 54, (2, 11))
        assert (s.num_bits_per_symbol, s.coderate) == (4, pytest.approx(553 / 1024, rel=1e-6))
        assert (s.num_coded_bits, s.num_info_bits) == (12 * 624 * 4, 16136)
        assert BASE.replace(dmrs_additional_position=3).pilot_symbols == (2, 5, 8, 11)
        assert BASE.replace(subcarrier_spacing=15e3).cp_length == 4

    @pytest.mark.parametrize("changes", [{}, TWO_LAYERS, PRECODED], ids=str)
    def test_it_survives_json(self, changes):
        s = BASE.replace(**changes)
        back = Scenario.from_dict(json.loads(json.dumps(s.to_dict())))
        assert isinstance(back, PUSCHScenario) and back == s and hash(back) == hash(s)
        assert s.replace(speed=3).replace(speed=0) == s

    def test_power_follows_the_precoder(self):
        assert BASE.sent_power == 1 and BASE.replace(**TWO_LAYERS).sent_power == 2
        assert BASE.replace(**PRECODED).sent_power == pytest.approx(1)

    def test_a_sweep_can_change_it(self):
        s = choose_scenario("pusch_4prb", ["num_prb=6", "channel=cdl-b"])
        assert (s.fft_size, s.channel) == (72, "cdl-b")
        with pytest.raises(ValueError, match="unknown field of a scenario 'fft_size'"):
            choose_scenario("pusch_4prb", ["fft_size=64"])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(num_prb=0), "num_prb must be in 1..275, got 0"),
            (dict(num_prb=276), "num_prb must be in 1..275"),
            (dict(mcs_index=28), "mcs_index must be in 0..27, got 28"),
            (dict(dmrs_additional_position=4), "dmrs_additional_position must be in 0..3"),
            (dict(subcarrier_spacing=31e3), "subcarrier_spacing must be 15, 30, 60 or 120 kHz"),
            (dict(num_layers=5, num_tx_ant=5), "num_layers must be in 1..4"),
            (dict(num_users=3, num_layers=2, num_tx_ant=2), "in 1..1, as 3 users share 4 DMRS"),
            (dict(num_tx_ant=2), r"num_tx_ant must be num_layers \(1\) without a precoder"),
            (dict(tpmi=0), "num_tx_ant must be 2 or 4 with a precoder"),
            (dict(tpmi=6, num_tx_ant=2), "tpmi must be None or in 0..5, got 6"),
            (dict(tpmi=0, num_layers=4, num_tx_ant=2), r"num_layers must be at most num_tx_ant"),
            (dict(cp_length=5), "unknown field of a scenario 'cp_length'"),
            (dict(waveform="pdsch"), "unknown field of a scenario"),
            (dict(delay_spread=1e-4), "must be shorter than an OFDM symbol"),
        ],
        ids=str,
    )
    def test_the_impossible_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            BASE.replace(**changes)


@pytest.mark.usefixtures("eagerly")
class TestLink:
    @pytest.mark.parametrize(
        "changes", [{}, TWO_LAYERS, PRECODED, dict(num_users=2, num_rx_ant=4)], ids=str
    )
    def test_sends_what_the_transmitter_of_sionna_sends(self, changes):
        link = link_of(**changes)
        s, sent = link.scenario, link.transmit(2, 20.0)
        theirs = PUSCHTransmitter(s.pusch_configs(), return_bits=False)
        ours = link._layers.precode(sent.x)
        np.testing.assert_allclose(ours, theirs(sent.bits[:, :, 0]), atol=1e-6)
        assert sent.bits.shape == (2, s.num_users, 1, s.num_info_bits)
        assert sent.coded_bits.shape == (2, s.num_users, 1, s.num_coded_bits)
        assert sent.h_time.shape[:5] == (2, 1, s.num_rx_ant, s.num_users, s.num_layers)
        assert link.blocks_per_slot == s.num_users
        assert link.bits_per_slot == s.num_users * s.num_info_bits

    def test_the_taps_are_those_of_the_layers(self):
        link = link_of(**PRECODED)
        sent = link.transmit(2, 60.0)
        h = link.frequency_response(sent.h_time)[:, 0]
        y = np.einsum("baulmk,bulmk->bamk", h, sent.x)
        error = np.abs(sent.y[:, 0] - y) ** 2
        assert error.mean() < 1e-2 * np.mean(np.abs(y) ** 2)  # taps outside of the prefix

    def test_blocks_are_decoded_and_counted(self):
        link = link_of(num_users=2, num_rx_ant=4)
        sent = link.transmit(3, 5.0)
        llr = 8 * (2 * sent.coded_bits.numpy() - 1)
        np.testing.assert_array_equal(link.decode(llr), sent.bits)
        llr[1, 1, :, ::2] *= -1
        _, blocks = link.count(sent, llr)
        np.testing.assert_array_equal(blocks, [0, 1, 0])

    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({}, ["pusch_ls", "pusch_perfect", "pusch_time", "ls_lin"]),
            (TWO_LAYERS, ["pusch_ls", "pusch_time"]),
            (PRECODED, ["pusch_ls", "perfect_csi", "ls_delay_limited"]),
        ],
        ids=str,
    )
    def test_receivers_decode_all_blocks_without_noise(self, changes, names):
        link = link_of(channel="rayleigh", delay_spread=0, **changes)
        config.seed = 2
        sent = link.transmit(4, 40.0)
        for name in names:
            assert RECEIVERS[name].requires(link.scenario, resolve(name)) is None
            llr = RECEIVERS[name].build(link, **resolve(name))(sent)
            assert llr.shape == sent.coded_bits.shape
            assert link.count(sent, llr)[1].sum() == 0, name

    def test_sionnas_receiver_takes_either_domain(self):
        link = link_of(l_min=0, channel="rayleigh", delay_spread=0)
        sent = link.transmit(2, 10.0)
        y = sent._replace(y=link.demodulate(sent.y_time, 0))
        grid, samples = (
            RECEIVERS["pusch_ls"].build(link, **resolve("pusch_ls", {"input_domain": domain}))(y)
            for domain in ("freq", "time")
        )
        np.testing.assert_allclose(grid, samples, atol=2e-2)

    def test_receivers_of_pusch_need_pusch(self):
        for name in ("pusch_ls", "pusch_perfect", "pusch_time"):
            reason = RECEIVERS[name].requires(SCENARIOS["nominal_siso"], resolve(name))
            assert "needs a PUSCH scenario" in reason
        reason = RECEIVERS["pusch_perfect"].requires(BASE.replace(**PRECODED), {})
        assert "without a precoder" in reason
        with pytest.raises(ValueError, match="'estimator' .* must be one of ls"):
            resolve("pusch_ls", {"estimator": "lss"})


def test_a_sweep_compares_receivers_of_pusch_by_default(capsys):
    parser = ber_sweep.make_parser()
    for name, expected in (("pusch_4prb", "pusch_ls"), ("awgn", "fixed_pole")):
        sweep = ber_sweep.prepare(parser.parse_args(["--scenario", name]), parser)
        assert sweep.plan.contenders[0].name == expected
    assert "PUSCH" not in capsys.readouterr().out


@pytest.mark.usefixtures("eagerly")
def test_a_sweep_counts_errors():
    evaluator = SionnaEvaluator(link_of(), {"ours": ("pusch_time", resolve("pusch_time"))})
    bits, blocks = evaluator.count("ours", evaluator.simulate(-5.0, 1, 3), 1)
    assert bits.shape == (3,) and blocks.tolist() == [1, 1, 1]


def test_the_code_may_be_traced_for_several_batch_sizes():
    codec = Link(BASE).codec
    encode = tf.function(codec.encode, autograph=False)
    for num_slots in (1, 2):
        coded = encode(tf.ones([num_slots, 1, 1, codec.k]))
        np.testing.assert_array_equal(codec.decode(8 * (2 * coded - 1)), 1)
