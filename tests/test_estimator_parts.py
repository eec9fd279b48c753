"""The parts of the channel estimator against dense NumPy oracles."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import j0

from rx_fixedpole.receivers.doppler import doppler_table
from rx_fixedpole.receivers.evidence import Evidence, Prior
from rx_fixedpole.receivers.lags import delays
from rx_fixedpole.receivers.leftover import Leftover
from rx_fixedpole.receivers.pilots import pilot_groups
from rx_fixedpole.receivers.pole_model import pole_model
from rx_fixedpole.receivers.synthesis import Synthesis
from tests.modes import complex_normal
from tests.test_equalizer import make_grid

pytestmark = pytest.mark.tensorflow_only

GRIDS = {
    "comb": dict(num_tx=2, fft=32),
    "guards": dict(streams=2, fft=32, num_guard_carriers=(3, 2), dc_null=True),
    "not_orthogonal": dict(num_tx=2, fft=32, kind="full"),
}


@functools.cache
def parts(name, l_min=None, l_max=None):
    """Grid, table and model as the estimator makes them."""
    grid = make_grid(**GRIDS[name])
    symbols = np.unique(np.concatenate([g.elements for g in pilot_groups(grid)]) // 32)
    table = doppler_table(symbols, int(grid.num_ofdm_symbols), moving=True)
    lags = delays(grid, l_min, l_max, 0.5)
    return grid, table, pole_model(grid, lags, symbols, table.functions)


def covered(grid):
    """The grid with two streams' pilots under a cover: the same, and with alternating signs."""
    pattern = grid.pilot_pattern
    pilots = np.array(pattern.pilots).reshape(2, -1)
    pilots[1] = pilots[0] * (-1.0) ** np.arange(pilots.shape[1])
    return SimpleNamespace(
        fft_size=grid.fft_size,
        num_ofdm_symbols=grid.num_ofdm_symbols,
        effective_subcarrier_ind=grid.effective_subcarrier_ind,
        num_streams_per_tx=grid.num_streams_per_tx,
        pilot_pattern=SimpleNamespace(mask=pattern.mask, pilots=pilots),
    )


class TestLags:
    @pytest.mark.parametrize(
        ("fields", "first", "last"),
        [
            (dict(), -8, 55),
            (dict(streams=2), -8, 23),  # every second subcarrier
            (dict(streams=4), -4, 11),
            (dict(kind="shared"), -8, 23),
            (dict(streams=2, kind="full"), -8, 23),  # two streams on all subcarriers
        ],
        ids=str,
    )
    def test_window_is_what_the_pilots_tell_apart(self, fields, first, last):
        found = delays(make_grid(**fields), None, None, 0.5)
        assert found.lags.tolist() == np.arange(first, last + 0.25, 0.5).tolist()
        assert found.spacing == 0.5 and found.taps is None

    def test_covers_share_the_window(self):
        found = delays(covered(make_grid(streams=2, kind="full")), None, None, 1)
        assert found.lags.tolist() == list(range(-8, 24))

    def test_taps_bound_the_lags(self):
        grid = make_grid(streams=2)
        found = delays(grid, -2, np.int64(5), 0.5)
        assert found.taps == (-2, 5) and found.lags[[0, -1]].tolist() == [-2, 5]
        assert len(found.lags) == 15
        # Beyond the window the first taps come again
        assert delays(grid, -2, 50, 1.0).lags.tolist() == list(range(-2, 30))
        alone = delays(grid, 3, 3, 0.5)
        assert alone.lags.tolist() == [3] and alone.spacing > 0

    def test_responses(self):
        grid, subcarriers = make_grid(), np.arange(64)
        ramp = np.exp(-2j * np.pi * np.outer(subcarriers - 32, np.arange(-2, 6)) / 64)
        plain, tapped = delays(grid, None, None, 0.5), delays(grid, -2, 5, 0.5)
        at = np.searchsorted(plain.lags, np.arange(-2, 6))
        np.testing.assert_allclose(plain.response(subcarriers)[:, at], ramp, atol=1e-12)
        shifted = plain.response(subcarriers, 9) / plain.shift(9)
        np.testing.assert_allclose(shifted, plain.response(subcarriers), atol=1e-12)
        pulse = np.sinc(np.arange(-2, 6)[:, None] - tapped.lags)
        np.testing.assert_allclose(tapped.response(subcarriers, 9), ramp @ pulse, atol=1e-12)
        assert np.all(tapped.shift(9) == 1)

    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ((3, None, 0.5), ValueError, "l_min and l_max .* got 3 and None"),
            ((None, 3, 0.5), ValueError, "l_min and l_max .* got None and 3"),
            ((3, 2, 0.5), ValueError, r"l_max must be in 3\.\.66, got 2"),
            ((0, 64, 0.5), ValueError, r"l_max must be in 0\.\.63, got 64"),
            ((0.5, 2, 0.5), TypeError, "l_min must be an integer, got 0.5"),
            ((0, True, 0.5), TypeError, "l_max must be an integer, got True"),
            ((None, None, "1"), TypeError, "spacing must be a number .* got '1'"),
            ((None, None, True), TypeError, "spacing must be a number .* got True"),
            ((None, None, 0), ValueError, "spacing must be positive .* got 0"),
            ((None, None, np.inf), ValueError, "spacing must be positive .* got inf"),
            ((None, None, np.nan), ValueError, "spacing must be positive .* got nan"),
        ],
        ids=str,
    )
    def test_errors(self, options, error, match):
        with pytest.raises(error, match=match):
            delays(make_grid(), *options)


class TestDoppler:
    @pytest.mark.parametrize("symbols", [[2], [2, 11], [0, 2, 4], [1, 4, 7, 12], [0, 3, 5, 8, 11]])
    def test_table(self, symbols):
        symbols = np.array(symbols)
        table, size = doppler_table(symbols, 14, moving=True), len(symbols)
        used = table.functions.shape[1]
        assert used == min(size, 4)
        np.testing.assert_allclose(table.functions.T @ table.functions, np.eye(used), atol=1e-12)
        if used < size:
            return
        np.testing.assert_allclose(table.powers.sum(axis=1), size, rtol=1e-4)
        filters = table.interpolation @ table.functions.T
        np.testing.assert_allclose(filters[0], np.full((14, size), 1 / size), atol=1e-3)
        np.testing.assert_allclose(table.unknown[0], 0, atol=1e-4)
        gap = np.diff(symbols).min() if size > 1 else 1
        for v in range(1, len(table.powers)):
            speed = 3.8317 / gap * (v / 32) ** 1.5
            known = j0(speed * np.abs(symbols[:, None] - symbols)) + 1e-5 * size * np.eye(size)
            cross = j0(speed * np.abs(np.arange(14)[:, None] - symbols))
            expected = cross @ np.linalg.inv(known)
            np.testing.assert_allclose(filters[v], expected, rtol=0, atol=1e-6)
            left = 1 - np.sum(expected * cross, axis=1)
            np.testing.assert_allclose(table.unknown[v], np.maximum(left, 0), atol=1e-6)

    def test_a_standing_channel_has_one_function(self):
        table = doppler_table(np.array([0, 3, 5]), 6, moving=False)
        np.testing.assert_allclose(table.interpolation @ table.functions.T, 1 / 3, rtol=1e-4)


class TestModel:
    @pytest.mark.parametrize("name", GRIDS)
    @pytest.mark.parametrize("taps", [(None, None), (-2, 6)])
    def test_matched_is_the_conjugate_of_what_a_part_sends(self, name, taps):
        grid, table, model = parts(name, *taps)
        sent = {}
        for group in pilot_groups(grid):
            for stream, column in zip(group.streams, group.targets.T, strict=True):
                sent[int(stream)] = dict(zip(group.elements.tolist(), column, strict=True))
        symbols = np.unique([e // 32 for values in sent.values() for e in values])
        for j, i in zip(*np.nonzero(model.real), strict=True):
            values = np.array([sent[model.stream[j, i]][int(e)] for e in model.elements[j]])
            time = table.functions[
                np.searchsorted(symbols, model.elements[j] // 32), model.function[j, i]
            ]
            response = model.delays.response(model.elements[j] % 32) * model.shift[j]
            expected = np.conj((values * time)[:, None] * response)
            np.testing.assert_allclose(model.matched[j, :, i], expected, atol=1e-12)

    @pytest.mark.parametrize("name", GRIDS)
    @pytest.mark.parametrize("taps", [(None, None), (-2, 6)])
    def test_gram_is_the_dense_product(self, name, taps):
        _, _, model = parts(name, *taps)
        for j, kind in enumerate(model.kind):
            seen = model.matched[j].conj()
            expected = np.einsum("pik,pjl->ijkl", seen.conj(), seen)
            np.testing.assert_allclose(model.gram[kind], expected, atol=1e-8)

    def test_orthogonal_pilots_fall_apart(self):
        """Into one part a block, without taps of one kind for each user and function."""
        _, table, model = parts("comb")
        assert model.real.shape == (2 * table.functions.shape[1], 1) and model.real.all()
        assert sorted(zip(model.user[:, 0], model.function[:, 0], strict=True)) == [
            (0, 0), (0, 1), (1, 0), (1, 1),
        ]  # fmt: skip
        assert len(model.example) == 4

    def test_streams_of_a_user_share_a_kind_without_taps(self):
        grid = make_grid(streams=2, fft=32, num_guard_carriers=(4, 4))
        symbols, functions = np.array([1, 3]), np.eye(2)
        apart = pole_model(grid, delays(grid, None, None, 0.5), symbols, functions)
        tapped = pole_model(grid, delays(grid, 0, 4, 0.5), symbols, functions)
        assert len(apart.kind) == len(tapped.kind) == 4
        assert len(apart.example) == 2 and len(tapped.example) == 4

    def test_pilots_that_are_not_orthogonal_stay_together(self):
        _, table, model = parts("not_orthogonal")
        assert model.real.shape == (1, 4) and model.real.all()
        assert sorted(model.user[0].tolist()) == [0, 0, 1, 1]


def slot(name, *, beams=1, seed=0, silent=0):
    """One slot and a given prior: everything that the oracle and the module need."""
    grid, table, model = parts(name)
    rng, num_users = np.random.default_rng(seed), int(grid.num_tx)
    order = [rng.permutation(model.num_lags)[:5] for _ in range(num_users)]
    chosen = np.array(order)[None]
    powers = rng.uniform(0.1, 2.0, chosen.shape)
    powers[..., :silent] = 0
    speeds = rng.dirichlet(np.ones(len(table.powers)), (1, num_users))
    along = rng.uniform(0.2, 2.0, (1, num_users, beams))
    prior = Prior(*map(tf.constant, (chosen, powers, speeds, along)))
    columns = 3 if beams == 1 else beams
    y = complex_normal(seed + 1, 32 * int(grid.num_ofdm_symbols), columns)
    z, designs = [], []
    for j in range(len(model.kind)):
        at = [chosen[0, u] for u in model.user[j]]
        design = np.concatenate(
            [model.matched[j, :, i].conj()[:, at[i]] for i in range(len(at))], axis=1
        )
        designs.append(design)
        z.append((design.conj().T @ y[model.elements[j]]).reshape(len(at), 5, columns))
    z = np.array(z)[None, None]
    if beams > 1:
        z = np.moveaxis(z[:, 0], -1, 1)[..., None]
    evidence = Evidence(model, table, num_users)
    return SimpleNamespace(
        grid=grid, table=table, model=model, prior=prior, y=y, z=tf.constant(z), designs=designs,
        evidence=evidence, gram=evidence.gram(prior.chosen), no=tf.constant([0.3], tf.float64),
    )  # fmt: skip


def prior_powers(s, j, beam=0):
    """Prior variance of every coefficient of a block, flat over parts and delays."""
    time = s.prior.speeds[0].numpy() @ s.table.powers
    return np.concatenate(
        [
            s.prior.delays[0, u].numpy() * time[u, q] * s.prior.beams[0, u, beam].numpy()
            for u, q in zip(s.model.user[j], s.model.function[j], strict=True)
        ]
    )


def oracle(s, j, beam=0):
    """Covariance and mean of a block's coefficients with positive prior powers."""
    design, g = s.designs[j], prior_powers(s, j, beam)
    y = s.y[s.model.elements[j]]
    y = y if s.prior.beams.shape[-1] == 1 else y[:, beam : beam + 1]
    covariance = np.linalg.inv(design.conj().T @ design / 0.3 + np.diag(1 / g))
    return covariance, covariance @ design.conj().T @ y / 0.3, g


class TestEvidence:
    @pytest.mark.parametrize("name", GRIDS)
    @pytest.mark.parametrize("beams", [1, 3])
    def test_posterior(self, name, beams):
        s = slot(name, beams=beams)
        found = s.evidence.posterior(s.z, s.gram, s.prior, s.no)
        for j in range(len(s.model.kind)):
            for v in range(beams):
                covariance, mean, g = oracle(s, j, v)
                got = found.mean[0, v, j].numpy().reshape(mean.shape)
                np.testing.assert_allclose(got, mean, atol=1e-10)
                root = found.root[0, v, s.model.kind[j]].numpy()
                np.testing.assert_allclose(root.conj().T @ root, covariance, atol=1e-10)
                known = found.determined[0, v, s.model.kind[j]].numpy().reshape(-1)
                expected = 1 - np.diag(covariance).real / g
                np.testing.assert_allclose(known, expected, atol=1e-10)

    def test_silent_delays_change_nothing(self):
        full = slot("not_orthogonal", silent=2)
        found = full.evidence.posterior(full.z, full.gram, full.prior, full.no)
        prior = full.prior._replace(
            chosen=full.prior.chosen[..., 2:], delays=full.prior.delays[..., 2:]
        )
        gram = full.evidence.gram(prior.chosen)
        fewer = full.evidence.posterior(full.z[..., 2:, :], gram, prior, full.no)
        np.testing.assert_allclose(found.mean[..., 2:, :], fewer.mean, atol=1e-12)
        assert not np.any(found.mean[..., :2, :]) and not np.any(found.determined[..., :2])
        for update in ("with_delays", "with_beams"):
            a = getattr(full.evidence, update)(full.prior, found)
            b = getattr(full.evidence, update)(prior, fewer)
            np.testing.assert_allclose(a.delays[..., 2:], b.delays, atol=1e-12)
            np.testing.assert_allclose(a.beams, b.beams, atol=1e-12)
            assert not np.any(a.delays[..., :2])
        a = full.evidence.with_speeds(full.z, full.gram, full.prior, full.no)
        b = full.evidence.with_speeds(full.z[..., 2:, :], gram, prior, full.no)
        np.testing.assert_allclose(a.speeds, b.speeds, atol=1e-12)

    @pytest.mark.parametrize("name", GRIDS)
    def test_explained_is_what_subtraction_takes_away(self, name):
        s = slot(name)
        posterior = s.evidence.posterior(s.z, s.gram, s.prior, s.no)
        explained, known = s.evidence.explained(s.z, s.gram, posterior)
        left, determined = s.y.copy(), 0.0
        for j in range(len(s.model.kind)):
            covariance, mean, g = oracle(s, j)
            left[s.model.elements[j]] -= s.designs[j] @ mean
            determined += 3 * np.sum(1 - np.diag(covariance).real / g)
        taken = np.sum(np.abs(s.y) ** 2) - np.sum(np.abs(left) ** 2)
        np.testing.assert_allclose(explained, [taken], rtol=1e-9)
        np.testing.assert_allclose(known, [determined], rtol=1e-9)

    def test_speeds_follow_the_movement(self):
        """Coefficients drawn from one row of the table make that row the likeliest."""
        grid, table, model = parts("comb")
        evidence, num_ant = Evidence(model, table, 2), 400
        chosen = np.tile(np.arange(8, 30, 7), (2, 1))[None]
        for row in (0, 12, 32):
            z = []
            for j in range(4):
                scale = np.sqrt(table.powers[row, model.function[j, 0]] / 2)
                design = model.matched[j, :, 0].conj()[:, chosen[0, 0]]
                c = complex_normal(j, 4, num_ant) * scale
                z.append(design.conj().T @ design @ c)
            z = tf.constant(np.array(z)[None, None, :, None])
            uniform = np.full((1, 2, len(table.powers)), 1 / len(table.powers))
            prior = Prior(*map(tf.constant, (chosen, np.ones((1, 2, 4)), uniform)), None)
            prior = prior._replace(beams=tf.ones((1, 2, 1), tf.float64))
            gram, no = evidence.gram(prior.chosen), tf.constant([1e-2], tf.float64)
            for _ in range(3):
                prior = evidence.with_speeds(z, gram, prior, no)
            mean = prior.speeds.numpy() @ np.arange(len(table.powers))
            assert np.all(np.abs(mean - row) <= 2), (row, mean)


class TestSynthesis:
    @pytest.mark.parametrize("name", GRIDS)
    def test_mean_and_variance(self, name):
        s = slot(name)
        synthesis = Synthesis(s.model, s.table, s.grid, "complex128")
        posterior = s.evidence.posterior(s.z, s.gram, s.prior, s.no)
        mean = tf.transpose(posterior.mean[:, 0], (0, 4, 1, 2, 3))
        num_users, num_symbols = int(s.grid.num_tx), int(s.grid.num_ofdm_symbols)
        angle = np.linspace(-1, 1, num_symbols) * np.arange(1, num_users + 1)[:, None]
        turn = np.exp(1j * angle)[None]
        missing = np.arange(1, num_users + 1) / 10
        h, variance = synthesis(mean, posterior, s.prior, *map(tf.constant, (turn, missing[None])))
        subcarriers = np.asarray(s.grid.effective_subcarrier_ind)
        expected_h = np.zeros(h.shape[2:], complex)
        expected = np.zeros(variance.shape[1:])
        speeds = s.prior.speeds[0].numpy()
        weights = np.einsum("uv,vmq->umq", speeds, s.table.interpolation)
        for j in range(len(s.model.kind)):
            covariance, coefficients, _ = oracle(s, j)
            # From the coefficients of a block to each stream that it holds
            for stream in np.unique(s.model.stream[j]):
                parts = []
                for st, user, q in zip(
                    s.model.stream[j], s.model.user[j], s.model.function[j], strict=True
                ):
                    lags = s.prior.chosen[0, user].numpy()
                    ramps = (s.model.delays.response(subcarriers) * s.model.shift[j])[:, lags]
                    parts.append((st == stream) * weights[user, :, q, None, None] * ramps)
                seen = np.concatenate(parts, axis=-1)  # [M, K, I k]
                angles = turn[0, stream // int(s.grid.num_streams_per_tx)]
                expected_h[stream] += angles[:, None] * (seen @ coefficients[:, 0])
                expected[stream] += np.sum((seen @ covariance) * seen.conj(), axis=-1).real
        per_user = int(s.grid.num_streams_per_tx)
        for stream in range(len(expected)):
            user = stream // per_user
            share = np.exp(speeds[user] @ np.log(s.table.unknown + 1e-6)) - 1e-6
            open_ = share * np.sum(s.prior.delays[0, user]) + missing[user]
            expected[stream] += open_[:, None]
        np.testing.assert_allclose(h[0, 0], expected_h, atol=1e-10)
        np.testing.assert_allclose(variance[0], expected, rtol=1e-4)

    @pytest.mark.parametrize("name", ["comb", "not_orthogonal"])
    @pytest.mark.parametrize("row", [0, 14, 26])
    def test_the_variance_is_that_of_a_gaussian_process(self, name, row):
        """Paths with Jakes' correlation, of known powers and speed, conditioned on the pilots."""
        s = slot(name)
        num_users, symbols = int(s.grid.num_tx), np.array([1, 3])
        speeds = np.tile(np.eye(len(s.table.powers))[row], (1, num_users, 1))
        ones = tf.ones([1, num_users, 1], tf.float64)
        prior = s.prior._replace(speeds=tf.constant(speeds), beams=ones)
        posterior = s.evidence.posterior(s.z, s.gram, prior, s.no)
        mean = tf.transpose(posterior.mean[:, 0], (0, 4, 1, 2, 3))
        num_symbols = int(s.grid.num_ofdm_symbols)
        still = tf.ones([1, num_users, num_symbols], tf.complex128)
        none = tf.zeros([1, num_users], tf.float64)
        synthesis = Synthesis(s.model, s.table, s.grid, "complex128")
        _, variance = synthesis(mean, posterior, prior, still, none)
        subcarriers = np.asarray(s.grid.effective_subcarrier_ind)
        speed = 3.8317 / 2 * (row / 32) ** 1.5
        time = j0(speed * np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
        # What little power even a standing channel is granted besides
        time[symbols, symbols] += 2e-5
        sent = np.zeros((num_users, num_symbols * 32), complex)
        for group in pilot_groups(s.grid):
            sent[group.streams[:, None], group.elements] = group.targets.T
        pilots = np.flatnonzero(np.any(sent != 0, axis=0))
        covariances = []
        for u in range(num_users):
            ramps = s.model.delays.response(subcarriers)[:, s.prior.chosen[0, u].numpy()]
            along = (ramps * s.prior.delays[0, u].numpy()) @ ramps.conj().T
            covariances.append(np.kron(time, along))
        seen = sum(
            x[pilots, None] * c[np.ix_(pilots, pilots)] * x[pilots].conj()
            for x, c in zip(sent, covariances, strict=True)
        )
        inverse = np.linalg.inv(seen + 0.3 * np.eye(len(pilots)))
        for u, covariance in enumerate(covariances):
            cross = covariance[:, pilots] * sent[u, pilots].conj()
            expected = np.diag(covariance) - np.sum((cross @ inverse) * cross.conj(), axis=1)
            expected = expected.real.reshape(num_symbols, -1)
            np.testing.assert_allclose(variance[0, u], expected, rtol=1e-3, atol=1e-4)


class TestLeftover:
    @pytest.mark.parametrize("name", ["comb", "guards"])
    def test_what_no_chosen_delay_takes_is_told(self, name):
        """Its power on average, whatever the noise; nothing where there is nothing."""
        s = slot(name)
        num_ant, no, num_users = 600, 0.3, int(s.grid.num_tx)
        leftover = Leftover(s.model, s.table, num_users)
        speeds = np.tile(np.eye(len(s.table.powers))[0], (1, num_users, 1))
        prior = s.prior._replace(speeds=tf.constant(speeds))
        lags = s.model.delays.lags
        for power in (0.0, 0.5):
            z = []
            for j in range(len(s.model.kind)):
                matched, user = s.model.matched[j, :, 0], s.model.user[j, 0]
                time = s.table.powers[0, s.model.function[j, 0]]
                chosen = s.prior.chosen[0, user].numpy()
                own = complex_normal(j, len(chosen), num_ant) * np.sqrt(
                    s.prior.delays[0, user].numpy()[:, None] * time / 2
                )
                far = np.argmax(np.min(np.abs(lags[:, None] - lags[chosen]), axis=1))
                other = complex_normal(j + 50, num_ant) * np.sqrt(power * time / 2)
                y = matched.conj()[:, chosen] @ own + matched.conj()[:, far, None] * other
                y = y + complex_normal(j + 90, len(y), num_ant) * np.sqrt(no / 2)
                z.append(matched.T @ y)
            z = np.transpose(np.array(z), (2, 0, 1))[None, :, :, None]
            at = s.prior.chosen.numpy()[0, s.model.user[:, 0]]
            own = np.take_along_axis(z[0, :, :, 0], at[None], axis=-1)
            own = tf.constant(np.transpose(own, (1, 2, 0))[None, None, :, None])
            posterior = s.evidence.posterior(own, s.gram, prior, s.no)
            mean = tf.transpose(posterior.mean[:, 0], (0, 4, 1, 2, 3))
            found = leftover(tf.constant(z), mean, posterior, prior, s.no)
            np.testing.assert_allclose(found[0], power, atol=0.02 + 0.12 * power)
