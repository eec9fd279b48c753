"""Readouts against dense least squares, and by their algebra."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from rx_fixedpole.readout import READOUTS, ARDRidge, BlockRLS, Ridge
from rx_fixedpole.readout.solve import leave_block_out
from tests.modes import MODES, assert_close, complex_normal, in_mode, numpy
from tests.oracles import weighted_ridge

B, M, P, F, S = 3, 4, 15, 8, 2
NO = np.array([0.05, 0.4, 2.0])
FEATURES = complex_normal(0, B, M * P, F)
TARGETS = complex_normal(1, B, M * P, S)
PRIOR = complex_normal(2, F, S)
BLOCKS = (FEATURES.reshape(B, M, P, F), TARGETS.reshape(B, M, P, S))


@pytest.fixture(params=sorted(READOUTS))
def readout(request):
    return READOUTS[request.param]()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prior", [None, PRIOR, complex_normal(3, B, F, S)], ids=np.shape)
def test_ridge_is_augmented_least_squares(mode, prior):
    fit = in_mode(lambda f, t, no: Ridge(0.7).fit(f, t, no, prior=prior), mode)
    weights = fit(FEATURES, TARGETS, NO).weights
    for b in range(B):
        towards = 0.0 if prior is None else prior if prior.ndim == 2 else prior[b]
        expected = weighted_ridge(FEATURES[b], TARGETS[b], 0.7 * NO[b], towards)
        assert_close(weights[b], expected, 1e-10)


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["zero", "given"])
@pytest.mark.parametrize("forgetting", [None, 0.8])
def test_leave_one_out_is_really_leaving_one_out(prior, forgetting):
    if forgetting is None:
        row_weights = np.ones(M * P)
        fit = Ridge(2.0).fit(FEATURES, TARGETS, NO, prior=prior)
    else:
        row_weights = np.repeat(forgetting ** np.arange(M)[::-1], P)
        fit = BlockRLS(2.0, forgetting).fit(*BLOCKS, NO, prior=prior)
    errors = numpy(fit.leave_one_out).reshape(B, M * P, S)
    towards = 0.0 if prior is None else prior
    for b in range(B):
        for p in (0, 17, M * P - 1):
            keep = np.arange(M * P) != p
            weights = weighted_ridge(
                FEATURES[b][keep], TARGETS[b][keep], 2 * NO[b], towards, row_weights[keep]
            )
            expected = TARGETS[b, p] - FEATURES[b, p] @ weights
            assert_close(errors[b, p], expected, 1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [np.arange(15), np.array([3, 17, 40])], ids=len)
def test_leaving_a_block_out_is_really_leaving_it_out(mode, rows):
    def errors(features, targets, no):
        fit = Ridge(2.0).fit(features, targets, no, prior=PRIOR)
        return leave_block_out(features, fit, rows)

    got = in_mode(errors, mode)(FEATURES, TARGETS, NO)
    keep = np.setdiff1d(np.arange(M * P), rows)
    for b in range(B):
        weights = weighted_ridge(FEATURES[b][keep], TARGETS[b][keep], 2 * NO[b], PRIOR)
        assert_close(got[b], TARGETS[b][rows] - FEATURES[b][rows] @ weights, 1e-10)


def test_leverage_is_the_diagonal_of_the_hat_matrix():
    fit = Ridge().fit(FEATURES, TARGETS, NO)
    for b in range(B):
        gram = FEATURES[b].conj().T @ FEATURES[b] + NO[b] * np.eye(F)
        hat = FEATURES[b] @ np.linalg.solve(gram, FEATURES[b].conj().T)
        assert_close(numpy(fit.leverage)[b], np.diag(hat).real, 1e-12)
        assert_close(numpy(fit.dof)[b], np.trace(hat).real, 1e-10)
    assert np.all(numpy(fit.dof) < F)


def test_a_scalar_noise_variance_is_one_for_all():
    one = Ridge().fit(FEATURES, TARGETS, 0.4)
    each = Ridge().fit(FEATURES, TARGETS, np.full(B, 0.4))
    np.testing.assert_array_equal(numpy(one.weights), numpy(each.weights))


def test_batch_rows_are_independent(readout):
    together = readout.fit(FEATURES, TARGETS, NO)
    alone = readout.fit(FEATURES[1:2], TARGETS[1:2], NO[1:2])
    for whole, part in zip(together, alone, strict=True):
        assert_close(numpy(whole)[1], numpy(part)[0], 1e-12)


def test_single_precision_in_single_precision_out(readout):
    exact = readout.fit(FEATURES, TARGETS, NO)
    single = readout.fit(FEATURES.astype("complex64"), TARGETS.astype("complex64"), NO)
    assert numpy(single.weights).dtype == "complex64" and numpy(single.dof).dtype == "float32"
    assert_close(numpy(single.weights), numpy(exact.weights), 2e-6)


def test_without_noise_the_truth_is_recovered(readout):
    targets = FEATURES @ complex_normal(5, B, F, S)
    fit = readout.fit(FEATURES, targets, 0.0)
    assert_close(FEATURES @ numpy(fit.weights), targets, 1e-9)


@pytest.mark.parametrize("num_pilots", [2, 40])
def test_dependent_features_without_noise_stay_finite(num_pilots):
    features = complex_normal(0, 1, num_pilots, 3)
    features = np.concatenate([features, features, np.zeros((1, num_pilots, 2))], axis=-1)
    targets = features[..., :1] * 2j
    fit = Ridge().fit(features, targets, 0.0)
    assert all(np.all(np.isfinite(numpy(part))) for part in fit)
    assert_close(features @ numpy(fit.weights), targets, 1e-6)


def test_features_that_are_zero_give_weights_that_are_zero():
    fit = Ridge().fit(0 * FEATURES, TARGETS, 0.0)
    assert not np.any(numpy(fit.weights))
    np.testing.assert_array_equal(numpy(fit.leave_one_out), TARGETS)


@pytest.mark.parametrize("forgetting", [0.6, 1.0])
@pytest.mark.parametrize("mode", MODES)
def test_tracking_is_weighted_ridge_on_the_blocks_so_far(mode, forgetting):
    track = in_mode(BlockRLS(0.7, forgetting).track, mode)
    weights = track(*BLOCKS, NO)
    for m in range(M):
        rows = slice(0, (m + 1) * P)
        old = np.repeat(forgetting ** np.arange(m + 1)[::-1], P)
        for b in range(B):
            expected = weighted_ridge(
                FEATURES[b, rows], TARGETS[b, rows], 0.7 * NO[b], row_weights=old
            )
            assert_close(weights[b, m], expected, 1e-10)


def test_forgetting_nothing_is_ridge():
    ridge, rls = Ridge(0.5).fit(FEATURES, TARGETS, NO), BlockRLS(0.5, 1.0)
    fit = rls.fit(*BLOCKS, NO)
    assert_close(numpy(fit.weights), numpy(ridge.weights), 1e-12)
    assert_close(numpy(fit.leave_one_out).reshape(B, M * P, S), numpy(ridge.leave_one_out), 1e-12)
    assert_close(numpy(rls.track(*BLOCKS, NO))[:, -1], numpy(ridge.weights), 1e-12)


def test_a_carried_state_continues_a_stream():
    rls = BlockRLS(forgetting=0.7)
    state = rls.init(B, F, S)
    for m in range(M):
        state = rls.update(state, BLOCKS[0][:, m], BLOCKS[1][:, m])
        whole = numpy(rls.track(BLOCKS[0][:, : m + 1], BLOCKS[1][:, : m + 1], NO))[:, -1]
        assert_close(numpy(rls.weights(state, NO)), whole, 1e-12)


def test_a_long_single_precision_stream_stays_exact():
    num_blocks, per_block = 1500, 10
    features = complex_normal(0, 1, num_blocks, per_block, 6, dtype="complex64")
    # Nearly dependent features: this is where the textbook recursion of the inverse breaks.
    features[..., 5] = features[..., 4] + 1e-3 * features[..., 5]
    targets = complex_normal(1, 1, num_blocks, per_block, 1, dtype="complex64")
    weights = numpy(BlockRLS(1.0, 0.99).track(features, targets, 0.01))
    assert weights.shape == (1, num_blocks, 6, 1) and np.all(np.isfinite(weights))
    rows = features[0].reshape(-1, 6).astype("complex128")
    for m in (0, 700, num_blocks - 1):
        n = (m + 1) * per_block
        old = np.repeat(0.99 ** np.arange(m + 1)[::-1], per_block)
        expected = weighted_ridge(rows[:n], targets.reshape(-1, 1)[:n], 0.01, row_weights=old)
        assert_close(rows[n - 10 : n] @ weights[0, m], rows[n - 10 : n] @ expected, 1e-6)


def test_learned_prior_powers_start_from_ridge():
    learned, ridge = (
        ARDRidge(0.7, 0).fit(FEATURES, TARGETS, NO),
        Ridge(0.7).fit(FEATURES, TARGETS, NO),
    )
    for one, other in zip(learned, ridge, strict=True):
        assert_close(one, numpy(other), 1e-12)


@pytest.mark.parametrize(
    "groups", [None, np.array([0, 0, 0, 1, 1, 1, 2, 2])], ids=["own", "shared"]
)
@pytest.mark.parametrize("mode", MODES)
def test_one_update_is_mackays_fixed_point(mode, groups):
    fit = in_mode(lambda f, t, no: ARDRidge(0.7, 1).fit(f, t, no, groups=groups), mode)
    weights = fit(FEATURES, TARGETS, NO).weights
    group_of = np.arange(F) if groups is None else groups
    for b in range(B):
        gram = FEATURES[b].conj().T @ FEATURES[b] + 0.7 * NO[b] * np.eye(F)
        first = np.linalg.solve(gram, FEATURES[b].conj().T @ TARGETS[b])
        freedom = 1 - 0.7 * NO[b] * np.diag(np.linalg.inv(gram)).real
        residual = np.sum(np.abs(TARGETS[b] - FEATURES[b] @ first) ** 2)
        variance = residual / (S * (M * P - freedom.sum()))
        for_feature = [group_of == group_of[j] for j in range(F)]
        power = [np.sum(np.abs(first[g]) ** 2) / (S * freedom[g].sum()) for g in for_feature]
        loading = variance / np.array(power)
        gram = FEATURES[b].conj().T @ FEATURES[b] + np.diag(loading)
        assert_close(weights[b], np.linalg.solve(gram, FEATURES[b].conj().T @ TARGETS[b]), 1e-10)


def test_features_that_say_nothing_are_switched_off():
    targets = FEATURES[..., :1] + 0.1 * TARGETS[..., :1]
    fit = ARDRidge(num_updates=30).fit(FEATURES, targets, 0.01)
    assert np.all(numpy(fit.dof) < 0.7 * F)
    assert np.all(np.abs(numpy(fit.weights)[:, 0] - 1) < 0.1)


def test_readouts_survive_serialisation(readout):
    config = keras.saving.serialize_keras_object(readout)
    assert keras.saving.deserialize_keras_object(config) == readout


@pytest.mark.parametrize(
    ("made", "same"),
    [
        (lambda: Ridge(np.float32(0.5)), Ridge(0.5)),
        (lambda: Ridge(np.int64(2)), Ridge(2.0)),
        (lambda: ARDRidge(np.float64(2), num_updates=np.int64(1)), ARDRidge(2.0, 1)),
        (lambda: BlockRLS(1, np.float32(0.5)), BlockRLS(1.0, 0.5)),
    ],
)
def test_numbers_of_numpy_are_numbers_and_are_kept_as_plain_ones(made, same):
    config = made().get_config()
    assert made() == same and config == json.loads(json.dumps(config)) == same.get_config()
    assert {type(value) for value in config.values()} <= {int, float}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Ridge(reg=0.0), ValueError, "reg must be positive and finite, got 0.0"),
        (lambda: Ridge(reg=np.inf), ValueError, "reg must be positive and finite"),
        (lambda: Ridge(reg="1"), TypeError, "reg must be a number, got '1'"),
        (lambda: Ridge(reg=np.bool_(True)), TypeError, "reg must be a number"),
        (lambda: ARDRidge(num_updates=1.5), TypeError, "num_updates must be an integer, got 1.5"),
        (lambda: ARDRidge(num_updates=True), TypeError, "num_updates must be an integer"),
        (lambda: ARDRidge(num_updates=-1), ValueError, "num_updates must be at least 0, got -1"),
        (
            lambda: ARDRidge().fit(FEATURES, TARGETS, 1.0, prior=PRIOR.T),
            ValueError,
            r"prior must have shape \[8, 2\], got \(2, 8\)",
        ),
        (lambda: BlockRLS(forgetting=1.01), ValueError, r"forgetting must be in \(0, 1\]"),
        (lambda: Ridge().fit(FEATURES.real, TARGETS, 1.0), TypeError, "features must be complex"),
        (lambda: Ridge().fit(FEATURES, TARGETS[:, 1:], 1.0), ValueError, "targets must have shape"),
        (
            lambda: Ridge().fit(FEATURES, TARGETS, 1.0, prior=PRIOR.T),
            ValueError,
            r"prior must have shape \[8, 2\], got \(2, 8\)",
        ),
        (lambda: BlockRLS().track(FEATURES, TARGETS, 1.0), ValueError, "features must have shape"),
    ],
)
def test_errors_say_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()
