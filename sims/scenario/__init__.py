"""Scenarios of the laboratory: the value that describes one, and the registry of presets."""

from __future__ import annotations

from typing import Any

from sims.scenario.checks import CHANNELS, PILOT_PATTERNS
from sims.scenario.model import Scenario
from sims.scenario.pusch import PUSCHScenario

__all__ = ["CHANNELS", "PILOT_PATTERNS", "SCENARIOS", "PUSCHScenario", "Scenario"]

_TDL_200NS: dict[str, Any] = {
    "fft_size": 128,
    "cp_length": 16,
    "channel": "tdl-a",
    "delay_spread": 200e-9,
}

_TDL_C_PUSCH: dict[str, Any] = {"channel": "tdl-c", "delay_spread": 300e-9, "num_rx_ant": 2}

# All presets: 3.5 GHz, 30 kHz, 14 symbols, pilots on symbols 2 and 11, LDPC rate 1/2 or
# PUSCH with MCS 14.
SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        Scenario(
            name="cdl_2x2",
            fft_size=256,
            cp_length=18,
            num_guard_carriers=(8, 8),
            dc_null=True,
            channel="cdl-c",
            delay_spread=300e-9,
            speed=3.0,
            num_tx_ant=2,
            num_rx_ant=2,
            num_bits_per_symbol=4,
        ),
        Scenario(name="nominal_siso", **_TDL_200NS, num_rx_ant=1, num_bits_per_symbol=2),
        Scenario(
            name="nominal_2x2", **_TDL_200NS, num_tx_ant=2, num_rx_ant=2, num_bits_per_symbol=2
        ),
        Scenario(
            name="short_cp",
            fft_size=128,
            cp_length=2,
            channel="tdl-a",
            delay_spread=1e-6,
            num_rx_ant=2,
            num_bits_per_symbol=4,
        ),
        Scenario(
            name="interference",
            **_TDL_200NS,
            num_rx_ant=4,
            num_bits_per_symbol=2,
            interferer_sir_db=0.0,
        ),
        Scenario(name="high_speed", **_TDL_200NS, speed=300.0, num_rx_ant=2, num_bits_per_symbol=2),
        Scenario(
            name="pa",
            **_TDL_200NS,
            num_rx_ant=2,
            num_bits_per_symbol=4,
            impairments={"rapp_pa": {"p": 2.0, "input_backoff_db": 0.0}},
        ),
        Scenario(name="multi_user", **_TDL_200NS, num_users=4, num_rx_ant=4, num_bits_per_symbol=2),
        Scenario(
            name="scarce_pilots",
            fft_size=64,
            cp_length=16,
            channel="tdl-a",
            delay_spread=200e-9,
            num_rx_ant=2,
            num_bits_per_symbol=2,
            coderate=None,
            pilot_symbols=(2,),
        ),
        Scenario(
            name="awgn",
            fft_size=64,
            cp_length=16,
            channel="awgn",
            num_rx_ant=1,
            num_bits_per_symbol=2,
            coderate=None,
        ),
        Scenario(
            name="rayleigh",
            fft_size=64,
            cp_length=16,
            channel="rayleigh",
            num_rx_ant=1,
            num_bits_per_symbol=2,
            coderate=None,
        ),
        PUSCHScenario(name="pusch_4prb", **_TDL_C_PUSCH),
        PUSCHScenario(name="pusch_52prb", **_TDL_C_PUSCH, num_prb=52),
    )
}
