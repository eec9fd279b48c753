"""Intervals: against closed forms, symmetry and coverage on errors that cluster in slots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from sims.statistics import Point, compare, curve_points, ebno_at, error_rate, gain

Counts = NDArray[np.int64]
EBNO_DB = (5.0, 8.0, 11.0, 15.0)


def clustered(rng: np.random.Generator, slots: int, blocks: int, rate: float) -> Counts:
    """Block errors whose probability is drawn once a slot: Beta with mean `rate`."""
    spread = 0.7
    chance = rng.beta(rate / spread, (1 - rate) / spread, size=slots)
    return rng.binomial(blocks, chance)


def linear_curve(slots: int, shift: float = 0.0) -> dict[float, Point]:
    """A curve without noise: log10 of the rate falls by 1 in 10 dB, from 1 at `shift` dB."""
    per_slot = 10**6
    return {
        ebno: Point(np.full(slots, round(per_slot * 10 ** ((shift - ebno) / 10))), per_slot)
        for ebno in (shift + 2.0, shift + 7.0, shift + 16.0)
    }


@pytest.mark.parametrize(("errors", "slots"), [(0, 40), (1, 40), (17, 40), (40, 40), (3, 1000)])
def test_one_block_a_slot_is_wilson(errors: int, slots: int) -> None:
    expected = binomtest(errors, slots).proportion_ci(0.9, method="wilson")
    found = error_rate([1] * errors + [0] * (slots - errors), 1, confidence=0.9)
    assert found.value == errors / slots
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_blocks_that_fail_together_count_as_one() -> None:
    single = np.random.default_rng(2).integers(0, 2, 300)
    alone, together = error_rate(single, 1), error_rate(4 * single, 4)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), rel=1e-12)


def test_independent_blocks_in_slots_are_nearly_wilson_over_blocks() -> None:
    errors = np.random.default_rng(3).binomial(4, 0.2, size=20000)
    expected = binomtest(int(errors.sum()), 80000).proportion_ci(method="wilson")
    found = error_rate(errors, 4)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.05)


def test_without_errors_the_limit_counts_slots_not_bits() -> None:
    found = error_rate(np.zeros(100, int), 10**6)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1.959964**2 / (100 + 1.959964**2), rel=1e-6)


def test_errors_and_successes_are_symmetric() -> None:
    errors = clustered(np.random.default_rng(4), 200, 4, 0.2)
    direct, mirrored = error_rate(errors, 4), error_rate(4 - errors, 4)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - direct.high, 1 - direct.low))


def test_no_data_is_not_a_number() -> None:
    assert all(map(math.isnan, vars(error_rate([], 2)).values()))
    empty = Point(np.array([], int), 2)
    assert math.isnan(empty.rate)
    assert math.isnan(compare(empty, Point(np.array([1]), 2)).value)
    nowhere = ebno_at(0.1, {0.0: empty})
    assert math.isnan(nowhere.value) and (nowhere.low, nowhere.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    "call",
    [
        lambda: error_rate([3], 2),
        lambda: error_rate([-1], 2),
        lambda: error_rate([[0]], 2),
        lambda: error_rate([0], 0),
        lambda: error_rate([0], 1, confidence=95),
        lambda: ebno_at(0, {}),
        lambda: ebno_at(0.1, {}, confidence=1.0),
        lambda: gain(1.5, {}, {}),
        lambda: curve_points({0.0: [5]}, 4),
        lambda: compare(Point(np.array([1]), 1), Point(np.array([1]), 2)),
    ],
)
def test_arguments_out_of_range_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="must"):
        call()


def stopped(errors: Counts, target: int, chunk: int) -> int:
    """How many slots a sweep keeps: whole chunks until the target is reached."""
    reached = np.flatnonzero(errors.cumsum()[chunk - 1 :: chunk] >= target)
    return chunk * (int(reached[0]) + 1) if reached.size else errors.size


BLOCK_BITS, WRONG = 500, 0.2  # bits a block, and their mean share that is wrong in a lost one


@dataclass(frozen=True)
class Coverage:
    """Shares of sweeps whose interval holds the rate, and mean relative errors of the rate."""

    bler: float
    ber: float
    wilson: float  # over blocks, as if those were independent
    bias: float
    slots: float


def coverage(blocks: int, rate: float, sweeps: int, max_slots: int, chunk: int) -> Coverage:
    """Simulate sweeps to their stop at 100 block errors: lost blocks share a slot's fate, and
    the bits that are wrong in a lost block a share that is drawn once a slot."""
    rng = np.random.default_rng([5, blocks, int(1000 * rate), max_slots])
    found = []
    for _ in range(sweeps):
        errors = clustered(rng, max_slots, blocks, rate)
        errors = errors[: stopped(errors, 100, chunk)]
        wrong_bits = rng.binomial(errors * BLOCK_BITS, rng.beta(2, 8, errors.size))
        bler, ber = error_rate(errors, blocks), error_rate(wrong_bits, blocks * BLOCK_BITS)
        wilson = binomtest(int(errors.sum()), errors.size * blocks).proportion_ci(method="wilson")
        found.append(
            (
                bler.low <= rate <= bler.high,
                ber.low <= rate * WRONG <= ber.high,
                wilson.low <= rate <= wilson.high,
                bler.value / rate - 1,
                errors.size,
            )
        )
    return Coverage(*(float(share) for share in np.mean(found, axis=0)))


@pytest.mark.parametrize(("blocks", "rate"), [(1, 0.3), (2, 0.05), (4, 0.05)])
def test_interval_covers_at_the_stop(blocks: int, rate: float) -> None:
    found = coverage(blocks, rate, 400, max_slots=1536, chunk=16)
    assert all(0.91 <= share <= 0.99 for share in (found.bler, found.ber))


def test_interval_covers_where_a_sweep_ends_with_few_errors() -> None:
    found = coverage(4, 0.02, 400, max_slots=200, chunk=40)
    assert all(0.91 <= share <= 0.99 for share in (found.bler, found.ber))


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("rate", [0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
@pytest.mark.parametrize(("max_slots", "chunk"), [(10**5, 16), (1024, 32), (200, 40)])
def test_interval_covers_at_the_stop_in_2000_sweeps(
    blocks: int, rate: float, max_slots: int, chunk: int
) -> None:
    # Ten times as many slots as the target asks for on average are enough to draw.
    found = coverage(blocks, rate, 2000, min(max_slots, int(1000 / (rate * blocks))), chunk)
    print(f"at most {max_slots} slots, {blocks} blocks a slot, BLER {rate}: {found}")
    assert 0.93 <= found.bler <= 0.98 and 0.93 <= found.ber <= 0.98
    assert abs(found.bias) <= 0.05
    if blocks > 1:
        assert found.wilson < found.bler


def test_difference_of_paired_receivers_is_sharper_than_the_rates() -> None:
    rng = np.random.default_rng(6)
    fade = rng.exponential(size=800)
    first, second = (Point((fade < level).astype(int), 1) for level in (0.30, 0.25))
    found = compare(first, second)
    assert found.value == pytest.approx(first.rate - second.rate)
    assert 0 < found.low < found.value < found.high
    alone = error_rate(first.errors, 1)
    assert found.high - found.low < 0.6 * (alone.high - alone.low)
    back = compare(second, first)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_difference_covers() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        fade = rng.exponential(size=300)
        noise = rng.normal(size=(2, 300)) / 5
        first, second = (
            Point((fade + shift < level).astype(int), 1)
            for level, shift in zip((0.5, 0.5), noise, strict=True)
        )
        found = compare(first, second)
        hits += found.low <= 0.0 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_difference_uses_the_slots_both_have_seen() -> None:
    first, second = Point(np.array([1, 1, 0, 0, 1]), 1), Point(np.array([1, 0]), 1)
    assert compare(first, second).value == 0.5


def test_crossing_of_a_straight_curve_is_exact() -> None:
    found = ebno_at(0.1, linear_curve(20))
    assert (found.value, found.low, found.high) == pytest.approx((10.0,) * 3, abs=1e-4)
    found = gain(0.03, linear_curve(20, shift=-1.5), linear_curve(30, shift=0.25))
    assert (found.value, found.low, found.high) == pytest.approx((1.75,) * 3, abs=1e-4)


def test_crossing_before_a_point_without_errors_is_not_certain() -> None:
    rng = np.random.default_rng(11)
    curve = {0.0: Point(rng.binomial(1, 0.4, 10**5), 1), 10.0: Point(np.zeros(100, int), 1)}
    found = ebno_at(0.1, curve)
    assert found.value == pytest.approx(10 * math.log(4) / math.log(0.4 * 200), rel=0.01)
    # The rate at 10 dB may be up to 2.5 / 100, so the crossing may be up to 5 dB; nothing is
    # known about how far the rate lies below.
    assert found.high == pytest.approx(10 * math.log(4) / math.log(0.4 / 0.025), rel=0.05)
    assert found.low < 0.6 * found.value


def test_a_point_without_errors_stands_for_slots_not_bits() -> None:
    """Bits err by the slot: coverage of the crossing where the last point often shows no error."""
    rng, per_slot, in_error = np.random.default_rng(5), 3000, 300
    chances = {4.0: 0.2, 6.0: 0.02, 8.0: 0.001}
    rates = {ebno: chance * in_error / per_slot for ebno, chance in chances.items()}
    share = math.log(rates[6.0] / 1e-3) / math.log(rates[6.0] / rates[8.0])
    true = 6.0 + 2.0 * share
    inside = 0
    for _ in range(60):
        curve = {
            ebno: Point(in_error * rng.binomial(1, chance, 200), per_slot)
            for ebno, chance in chances.items()
        }
        found = ebno_at(1e-3, curve)
        inside += found.low <= true <= found.high
    assert inside >= 54


@pytest.mark.parametrize(
    ("target", "low", "high"), [(0.9, -math.inf, 2.0), (0.001, 16.0, math.inf)]
)
def test_curve_that_does_not_cross_gives_one_side(target: float, low: float, high: float) -> None:
    found = ebno_at(target, linear_curve(5))
    assert math.isnan(found.value) and (found.low, found.high) == (low, high)


def test_curve_that_rises_again_has_not_crossed() -> None:
    curve = curve_points({0.0: [1, 1], 5.0: [0, 0], 10.0: [1, 0]}, 1)
    found = ebno_at(0.2, curve)
    assert math.isnan(found.value) and found.high == math.inf


def test_gain_over_a_curve_that_floors_has_a_lower_end_only() -> None:
    floor = {ebno: Point(np.full(20, 300000), 10**6) for ebno in (2.0, 7.0, 16.0)}
    found = gain(0.1, linear_curve(20), floor)
    assert math.isnan(found.value)
    assert found.low == pytest.approx(6.0, abs=1e-4) and found.high == math.inf
    assert math.isnan(gain(0.1, floor, floor).value)


def fading_curve(
    rng: np.random.Generator,
    slots: int,
    loss_db: float,
    fades: dict[float, NDArray[np.float64]] | None = None,
) -> dict[float, Point]:
    """Outages of a Rayleigh fading slot: rate 1 - exp(-10^((loss - ebno) / 10))."""
    fades = fades or {ebno: rng.exponential(size=slots) for ebno in EBNO_DB}
    return {
        ebno: Point((fade < 10 ** ((loss_db - ebno) / 10)).astype(int), 1)
        for ebno, fade in fades.items()
    }


def test_crossing_and_gain_cover_and_pairing_pays() -> None:
    rng = np.random.default_rng(8)
    # The truth is the crossing of the exact rates, interpolated as the estimates are.
    exact = {
        loss: ebno_at(
            0.1,
            {
                ebno: Point(
                    np.array([round(1e9 * -math.expm1(-(10 ** ((loss - ebno) / 10))))]), 10**9
                )
                for ebno in EBNO_DB
            },
        ).value
        for loss in (0.0, 1.0)
    }
    hits, gain_hits, width, unpaired = 0, 0, 0.0, 0.0
    for _ in range(100):
        fades = {ebno: rng.exponential(size=400) for ebno in EBNO_DB}
        ours, theirs = (fading_curve(rng, 400, loss, fades) for loss in (0.0, 1.0))
        mine, other, found = ebno_at(0.1, ours), ebno_at(0.1, theirs), gain(0.1, ours, theirs)
        hits += mine.low <= exact[0.0] <= mine.high
        gain_hits += found.low <= exact[1.0] - exact[0.0] <= found.high
        width += found.high - found.low
        unpaired += math.hypot(mine.high - mine.low, other.high - other.low)
    assert min(hits, gain_hits) / 100 >= 0.88
    assert width < 0.75 * unpaired


def test_receivers_that_stopped_apart_share_the_luck_of_shared_slots() -> None:
    rng = np.random.default_rng(9)
    long = fading_curve(rng, 600, 0.0)
    short = {ebno: Point(point.errors[:500], 1) for ebno, point in long.items()}
    found = gain(0.1, short, long)
    alone = ebno_at(0.1, long)
    assert found.high - found.low < 0.6 * (alone.high - alone.low)


def test_same_counts_give_the_same_interval() -> None:
    curve = fading_curve(np.random.default_rng(10), 300, 0.0)
    assert ebno_at(0.1, curve) == ebno_at(0.1, dict(reversed(curve.items())))
