"""Scenarios: presets, round trips, and what is refused."""

from __future__ import annotations

import json

import pytest

from sims.impairments import IMPAIRMENTS
from sims.scenario import CHANNELS, SCENARIOS, Scenario

BASE = SCENARIOS["nominal_2x2"]

# name: fft, CP, channel, spread, speed, users, tx, rx, bits, rate, lags
TABLE = {
    "cdl_2x2": (256, 18, "cdl-c", 300e-9, 3, 1, 2, 2, 4, 0.5, (-6, 26)),
    "nominal_siso": (128, 16, "tdl-a", 200e-9, 0, 1, 1, 1, 2, 0.5, (-6, 14)),
    "nominal_2x2": (128, 16, "tdl-a", 200e-9, 0, 1, 2, 2, 2, 0.5, (-6, 14)),
    "short_cp": (128, 2, "tdl-a", 1e-6, 0, 1, 1, 2, 4, 0.5, (-6, 44)),
    "interference": (128, 16, "tdl-a", 200e-9, 0, 1, 1, 4, 2, 0.5, (-6, 14)),
    "high_speed": (128, 16, "tdl-a", 200e-9, 300, 1, 1, 2, 2, 0.5, (-6, 14)),
    "pa": (128, 16, "tdl-a", 200e-9, 0, 1, 1, 2, 4, 0.5, (-6, 14)),
    "multi_user": (128, 16, "tdl-a", 200e-9, 0, 4, 1, 4, 2, 0.5, (-6, 14)),
    "scarce_pilots": (64, 16, "tdl-a", 200e-9, 0, 1, 1, 2, 2, None, (-6, 10)),
}


@pytest.mark.parametrize("name", TABLE)
def test_presets_are_those_of_the_table(name):
    s = SCENARIOS[name]
    got = (
        s.fft_size,
        s.cp_length,
        s.channel,
        s.delay_spread,
        s.speed,
        s.num_users,
        s.num_tx_ant,
        s.num_rx_ant,
        s.num_bits_per_symbol,
        s.coderate,
        s.lags,
    )
    assert got == TABLE[name]
    assert (s.carrier_frequency, s.subcarrier_spacing, s.num_ofdm_symbols) == (3.5e9, 30e3, 14)
    assert s.pilot_symbols == ((2,) if name == "scarce_pilots" else (2, 11))
    assert (s.pilot_pattern, s.num_decoder_iterations) == ("kronecker", 20)


def test_presets_have_their_special_features():
    assert SCENARIOS["cdl_2x2"].num_occupied == 239
    assert SCENARIOS["interference"].interferer_sir_db == 0
    assert SCENARIOS["pa"].impairments == {"rapp_pa": {"p": 2.0, "input_backoff_db": 0.0}}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_survives_json(name):
    s = SCENARIOS[name]
    assert s.name == name
    back = Scenario.from_dict(json.loads(json.dumps(s.to_dict())))
    assert back == s
    assert hash(back) == hash(s)


def test_one_value_has_one_spelling():
    a = BASE.replace(
        speed=3,
        carrier_frequency=2_000_000_000,
        fft_size=64.0,
        pilot_symbols=[1, 4],
        impairments={"cfo": {"subcarriers": 1}, "adc": {}},
    )
    b = BASE.replace(
        speed=3.0,
        carrier_frequency=2e9,
        fft_size=64,
        pilot_symbols=(1, 4),
        impairments={"adc": {"num_bits": 6}, "cfo": {"subcarriers": 1.0}},
    )
    assert json.dumps(a.to_dict(), sort_keys=True) == json.dumps(b.to_dict(), sort_keys=True)


def test_a_scenario_does_not_share_its_impairments():
    given = {"adc": {"num_bits": 4}}
    s = BASE.replace(impairments=given)
    given["adc"]["num_bits"] = 1
    s.to_dict()["impairments"]["adc"]["num_bits"] = 2
    assert s.impairments["adc"]["num_bits"] == 4


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_defaults_of_an_impairment_are_filled_in(name):
    filled = BASE.replace(impairments={name: {}})
    assert filled.impairments[name]
    assert filled == BASE.replace(impairments=filled.impairments)


def test_derived_counts():
    s = SCENARIOS["cdl_2x2"]
    assert (s.num_streams, s.num_data_res) == (2, 12 * 239)
    assert (s.num_coded_bits, s.num_info_bits) == (12 * 239 * 4, 12 * 239 * 2)
    assert s.sample_rate == 256 * 30e3
    assert s.replace(coderate=None).num_info_bits == s.num_coded_bits
    assert s.replace(l_max=9).lags == (-6, 9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"channel": "tdl-f"}, "unknown channel 'tdl-f'; did you mean"),
        ({"pilot_pattern": "kroneker"}, "did you mean 'kronecker'"),
        ({"chanel": "awgn"}, "unknown field of a scenario 'chanel'; did you mean 'channel'"),
        ({"carrier_frequency": 0}, "carrier_frequency must be a positive frequency"),
        ({"num_rx_ant": 0}, "num_rx_ant must be at least 1, got 0"),
        ({"num_decoder_iterations": 0}, "num_decoder_iterations must be at least 1"),
        ({"cp_length": 129}, "cp_length must be in 0..fft_size = 128, got 129"),
        ({"num_guard_carriers": (64, 64)}, "such that a subcarrier of fft_size = 128 is left"),
        ({"num_guard_carriers": (-1, 2)}, "num_guard_carriers must be two counts"),
        ({"num_guard_carriers": (1,)}, "num_guard_carriers must be two counts"),
        ({"num_bits_per_symbol": 3}, "num_bits_per_symbol must be 2, 4 or 6, got 3"),
        ({"pilot_symbols": (2, 14)}, "pilot_symbols must be in 0..13"),
        ({"pilot_symbols": ()}, "pilot_symbols must be at least one"),
        ({"pilot_symbols": (2, 2)}, "pilot_symbols must be distinct"),
        ({"num_ofdm_symbols": 2, "pilot_symbols": (0, 1)}, "fewer than num_ofdm_symbols"),
        ({"num_guard_carriers": (63, 64)}, "needs a subcarrier for each of the 2 streams"),
        ({"delay_spread": 0}, "delay_spread must be positive for channel 'tdl-a'"),
        ({"delay_spread": 1e-5}, "must be shorter than an OFDM symbol"),
        ({"channel": "rayleigh"}, "delay_spread must be 0 for channel 'rayleigh'"),
        ({"channel": "rayleigh", "delay_spread": 0, "speed": 3}, "speed must be 0"),
        ({"channel": "awgn", "delay_spread": 0, "num_rx_ant": 3}, "number of streams"),
        ({"channel": "awgn", "delay_spread": 0, "interferer_sir_db": 3}, "interferer_sir_db must"),
        ({"channel": "cdl-a", "num_users": 2}, "num_users must be 1 for a CDL channel"),
        ({"channel": "cdl-a", "num_rx_ant": 3}, "num_rx_ant must be 1 or even"),
        ({"coderate": 0.1}, "coderate must be None or in 0.2"),
        ({"coderate": 1.0}, "coderate must be None or in 0.2"),
        ({"fft_size": 1024, "num_bits_per_symbol": 6}, "12..8448 information bits, got 36864"),
        ({"fft_size": 64, "coderate": 0.2}, "rate of at least 0.2 in whole bits, got 307 / 1536"),
        (
            {
                "fft_size": 8,
                "cp_length": 0,
                "l_max": 0,
                "num_ofdm_symbols": 3,
                "pilot_symbols": (0,),
                "coderate": 0.3,
            },
            "12..8448 information bits, got 9 of 32",
        ),
        ({"l_min": 1}, "l_min must be a lag <= 0"),
        ({"l_max": -1}, "l_max must be None or a lag"),
        ({"l_max": 138}, "must be shorter than an OFDM symbol"),
        ({"interferer_sir_db": float("nan")}, "interferer_sir_db must be None or finite"),
        ({"pilot_seed": -1}, "pilot_seed must be an integer >= 0"),
        ({"impairments": {"rap_pa": {}}}, "unknown impairment 'rap_pa'; did you mean 'rapp_pa'"),
        ({"impairments": {"adc": {"bits": 3}}}, "unknown parameter of adc 'bits'"),
        ({"impairments": {"cfo": {"fft_size": 3}}}, "unknown parameter of cfo 'fft_size'"),
        ({"impairments": {"rapp_pa": {"p": -1}}}, "'rapp_pa'.*p must be a positive"),
    ],
)
def test_the_impossible_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        BASE.replace(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fft_size": "128"}, "fft_size must be int, got '128'"),
        ({"fft_size": 64.5}, "fft_size must be int"),
        ({"num_rx_ant": True}, "num_rx_ant must be int"),
        ({"dc_null": 1}, "dc_null must be bool"),
        ({"coderate": "half"}, "coderate must be float | None"),
        ({"pilot_symbols": 2}, "pilot_symbols must be tuple"),
        ({"impairments": ["adc"]}, "impairments must be Mapping"),
        ({"impairments": {"adc": 3}}, "'adc'.* must be a mapping of parameters, got 3"),
        ({"impairments": {"adc": {"num_bits": 2.5}}}, "'num_bits'.* must be int, got 2.5"),
        ({"impairments": {"cfo": {"subcarriers": "x"}}}, "'subcarriers'.* must be float"),
    ],
)
def test_a_wrong_type_is_refused(fields, message):
    with pytest.raises(TypeError, match=message.replace("|", r"\|")):
        BASE.replace(**fields)


def test_a_missing_field_is_named():
    values = BASE.to_dict()
    del values["cp_length"], values["num_rx_ant"]
    with pytest.raises(ValueError, match="needs the fields cp_length, num_rx_ant"):
        Scenario.from_dict(values)


@pytest.mark.parametrize("channel", [c for c in CHANNELS if c != "umi"])  # see test_umi.py
def test_every_channel_can_be_described(channel):
    spread = 0 if channel in ("awgn", "rayleigh") else 1e-7
    s = BASE.replace(channel=channel, delay_spread=spread)
    assert s.lags[1] == 6 if spread == 0 else s.lags[1] > 6
