"""Speed, memory and precision as ratios, each with its bar. To add one: an entry in BARS."""

from __future__ import annotations

from sims.benchmark import memory, precision, recurrences, slots
from sims.benchmark.bar import Bar, Budget, Found, later

__all__ = ["BARS", "Bar", "Budget", "Found"]

_MIMO = "FixedPoleEqualizer, defaults, over Sionna LS + LMMSE"
_ESTIMATOR = "channel estimator, defaults, + LMMSE over Sionna LS + LMMSE"
_STAGE = "share of the largest stage of"
_SLOT = "fit + detect of one slot, p99 in ms, 2 streams"
# Label -> bar. B slots, T samples, K poles; 4 inputs and 2 outputs throughout.
BARS: dict[str, Bar] = {
    "1": Bar(
        "output over naive, B=1 T=4096 K=64", "at least", 40,
        recurrences.output_speed(1, 4096, 64),
    ),
    "1s": Bar(
        f"{_STAGE} output, B=1 T=4096 K=64", "info", 0,
        later("stages.output_stages", 1, 4096, 64),
    ),
    "2": Bar(
        "output over naive, B=64 T=1024 K=64", "at least", 9,
        recurrences.output_speed(64, 1024, 64),
    ),
    "3a": Bar(
        "output over one cgemm of its FLOPs, B=1 T=15360 K=64", "at most", 2.5,
        recurrences.output_against_product(1, 15360, 64),
    ),
    "3b": Bar(
        "output over one cgemm of its FLOPs, B=64 T=1024 K=64", "at most", 2.5,
        recurrences.output_against_product(64, 1024, 64),
    ),
    "3c": Bar(
        "output over one cgemm of its FLOPs, B=1 T=15360 K=256", "at most", 2.5,
        recurrences.output_against_product(1, 15360, 256),
    ),
    "4a": Bar(
        "states over naive, B=1 T=3840 K=64", "at least", 18, recurrences.states_speed(1, 3840, 64)
    ),
    "4b": Bar(
        "states over naive, B=1 T=15360 K=256", "at least", 8,
        recurrences.states_speed(1, 15360, 256),
    ),
    "4c": Bar(
        "states over naive, B=64 T=1024 K=64", "at least", 1.8,
        recurrences.states_speed(64, 1024, 64),
    ),
    "5a": Bar("gram over matmul, T=1096 K=64", "at least", 1.5, recurrences.gram_speed(1096, 64)),
    "5b": Bar("gram over matmul, T=1096 K=256", "at least", 8, recurrences.gram_speed(1096, 256)),
    "5s": Bar(
        f"{_STAGE} gram, T=1096 K=64", "info", 0,
        later("stages.gram_stages", 1096, 64),
    ),
    "5t": Bar(
        f"{_STAGE} gram, T=1096 K=256", "info", 0,
        later("stages.gram_stages", 1096, 256),
    ),
    "6a": Bar(
        "train + output over naive, B=1 T=4096 K=64", "at least", 25,
        recurrences.slot_speed(1, 4096, 64),
    ),
    "6b": Bar(
        "train + output over naive, B=1 T=15360 K=256", "at least", 12,
        recurrences.slot_speed(1, 15360, 256),
    ),
    "6c": Bar(
        "train + output over naive, B=64 T=1024 K=64", "at least", 3,
        recurrences.slot_speed(64, 1024, 64),
    ),
    "6s": Bar(
        f"{_STAGE} train + output, B=1 T=4096 K=64", "info", 0,
        later("stages.slot_stages", 1, 4096, 64),
    ),
    "6t": Bar(
        f"{_STAGE} train + output, B=64 T=1024 K=64", "info", 0,
        later("stages.slot_stages", 64, 1024, 64),
    ),
    "7": Bar(
        "train + output over Sionna LS + LMMSE, FFT 256", "at most", 0.25,
        later("receivers.slot_share"),
    ),
    "8a": Bar(
        "train + output over ReservoirPy", "at least", 40, later("peers.against_reservoirpy")
    ),
    "8b": Bar(
        "train + output over one GRU step, XLA", "at least", 15,
        later("peers.against_bptt_step", "GRU"),
    ),
    "8c": Bar(
        "train + output over one LSTM step, XLA", "info", 0,
        later("peers.against_bptt_step", "LSTM"),
    ),
    "8d": Bar(
        "train + output over one SimpleRNN step, XLA", "info", 0,
        later("peers.against_bptt_step", "SimpleRNN"),
    ),
    "8e": Bar("train + output over GRU forward", "info", 0, later("peers.against_forward", "GRU")),
    "8f": Bar("train + output over a NumPy ESN loop", "info", 0, later("peers.against_numpy_loop")),
    "9a": Bar(f"{_MIMO}, 2x2, 32 slots", "at most", 0.6, later("receivers.equalizer_share", 2, 32)),
    "9b": Bar(f"{_MIMO}, 4x4, 32 slots", "at most", 0.6, later("receivers.equalizer_share", 4, 32)),
    "9c": Bar(f"{_MIMO}, 2x2, 1 slot", "at most", 1.2, later("receivers.equalizer_share", 2, 1)),
    "9d": Bar(f"{_MIMO}, 4x4, 1 slot", "at most", 1.2, later("receivers.equalizer_share", 4, 1)),
    "9s": Bar(
        f"{_STAGE} FixedPoleEqualizer, 2x2, 32 slots", "info", 0,
        later("stages.equalizer_stages", 2, 32),
    ),
    "9t": Bar(
        f"{_STAGE} FixedPoleEqualizer, 4x4, 32 slots", "info", 0,
        later("stages.equalizer_stages", 4, 32),
    ),
    "10": Bar(
        "peak memory of output over states, B=64", "at most", 0.5, memory.output_memory("ours")
    ),
    "10n": Bar("the same, naive form", "info", 0, memory.output_memory("naive")),
    "11a": Bar("error of output, |p| <= 0.999", "at most", 1e-5, precision.output_accuracy),
    "11b": Bar(
        "error of output after ridge, reg 1e-6", "at most", 2e-5, precision.ridge_accuracy
    ),
    "12T": Bar("growth of output in T", "at most", 1.05, recurrences.growth("T")),
    "12K": Bar("growth of output in K", "at most", 1.1, recurrences.growth("K")),
    "12B": Bar("growth of output in B", "at most", 1.05, recurrences.growth("B")),
    "13": Bar(
        "sweep of 5 receivers, share of the ideal", "at least", 0.85,
        later("sweeping.share_of_ideal"),
    ),
    "13p": Bar("share of decoding in a sweep", "info", 0, later("sweeping.share_of_decoding")),
    "13d": Bar(
        "decoding all receivers at once over one by one", "info", 0,
        later("sweeping.batched_decodes"),
    ),
    "15a": Bar(
        f"{_ESTIMATOR}, 2x2, 32 slots", "at most", 1.2,
        later("receivers.estimator_share", 2, 32),
    ),
    "15b": Bar(
        f"{_ESTIMATOR}, 4x4, 32 slots", "at most", 1.2,
        later("receivers.estimator_share", 4, 32),
    ),
    "15s": Bar(
        f"{_STAGE} channel estimator + LMMSE, 2x2, 32 slots", "info", 0,
        later("stages.estimator_stages", 2, 32),
    ),
    "15t": Bar(
        f"{_STAGE} channel estimator + LMMSE, 4x4, 32 slots", "info", 0,
        later("stages.estimator_stages", 4, 32),
    ),
    "15c": Bar(f"{_ESTIMATOR}, umi_uplink, 2 slots", "info", 0, later("receivers.uplink_share")),
    # Milliseconds, which count on a GPU alone; a slot lasts 0.5 ms.
    "14a": Bar(f"{_SLOT}, 2 antennas", "at most", 0.5, slots.latency(2), "gpu"),
    "14b": Bar(f"{_SLOT}, 4 antennas", "at most", 0.5, slots.latency(4), "gpu"),
    "14c": Bar(f"{_SLOT}, 2 antennas, 8 poles", "at most", 0.5, slots.latency(2, 8), "gpu"),
    "14d": Bar(f"{_SLOT}, 4 antennas, 8 poles", "at most", 0.5, slots.latency(4, 8), "gpu"),
    "14e": Bar(f"{_SLOT}, 2 antennas, Ridge", "info", 0, slots.latency(2, readout="ridge")),
    "14f": Bar(f"{_SLOT}, 4 antennas, Ridge", "info", 0, slots.latency(4, readout="ridge")),
    "14g": Bar("slots a second in batches of 64, 2 antennas", "info", 0, slots.throughput(2)),
    "14h": Bar("slots a second in batches of 64, 4 antennas", "info", 0, slots.throughput(4)),
    "14i": Bar(
        "slots a second in batches of 64, 4 antennas, 8 poles", "info", 0, slots.throughput(4, 8)
    ),
}  # fmt: skip
