"""Receivers of the laboratory: ours and every baseline, on the same slots.

To add one: a builder `build(link, *, options) -> (slots -> llr)` and one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sims.receivers.auto import auto
from sims.receivers.base import Receiver, complete_options, unknown
from sims.receivers.bptt import bptt, go_together
from sims.receivers.delay_limited import ls_delay_limited
from sims.receivers.detector import detector, estimate_is_possible, joint_detector
from sims.receivers.esn import esn, has_enough_pilots
from sims.receivers.estimated import fixed_pole_lmmse
from sims.receivers.genie import perfect_csi
from sims.receivers.identified import fits_the_symbol
from sims.receivers.identified import wiener as identified_wiener
from sims.receivers.interpolated import (
    lmmse_interpolator,
    ls_lin,
    ls_lin_time_avg,
    orthogonal_pilots,
)
from sims.receivers.iterative import has_codewords, iterative
from sims.receivers.joint_lmmse import joint_lmmse
from sims.receivers.nonlinear import ep, kbest, several_streams
from sims.receivers.ours import can_be_trained, fixed_pole, tracking
from sims.receivers.pusch import (
    is_pusch,
    is_pusch_without_precoder,
    pusch,
    pusch_perfect,
    pusch_time,
)
from sims.receivers.wiener import fits_the_grid, genie_wiener

_ours = partial(Receiver, requires=can_be_trained)
_learnt = partial(Receiver, slow=True, requires=go_together)

RECEIVERS: dict[str, Receiver] = {
    "auto": Receiver(auto, "chosen per slot among ours", revision=3),
    "fixed_pole": _ours(fixed_pole, "fixed poles, ring", revision=2),
    "fixed_pole_log": _ours(
        partial(fixed_pole, placement="log_spaced"), "fixed poles, log", revision=2
    ),
    "fixed_pole_disc": _ours(
        partial(fixed_pole, placement="disc"), "fixed poles, disc", revision=2
    ),
    "fixed_pole_frequency": _ours(
        partial(fixed_pole, domain="frequency"), "fixed poles, frequency domain"
    ),
    "fixed_pole_tracking": _ours(
        partial(fixed_pole, tracking=True), "fixed poles, moving", revision=2
    ),
    "tracking": _ours(tracking, "fixed poles, following by decisions"),
    "window": _ours(partial(fixed_pole, num_poles=0), "window, no poles", revision=2),
    "fixed_pole_lmmse": Receiver(
        fixed_pole_lmmse, "fixed-pole channel estimate, LMMSE", revision=2
    ),
    "fixed_pole_detector": Receiver(
        partial(detector, estimate="fixed_pole"),
        "fixed-pole channel estimate and detector",
        revision=2,
    ),
    "fixed_pole_joint": Receiver(
        joint_detector, "fixed-pole channel estimate, joint detection", requires=several_streams
    ),
    "wiener": Receiver(
        identified_wiener, "identified taps, Wiener in time", revision=3, requires=fits_the_symbol
    ),
    "iterative": Receiver(
        iterative, "iterative, decoded data as pilots", revision=2, requires=has_codewords
    ),
    "detector_ls": Receiver(detector, "fixed-pole detector, LS", requires=estimate_is_possible),
    "detector_perfect": Receiver(
        partial(detector, estimate="perfect"),
        "fixed-pole detector, perfect CSI",
        genie=True,
        requires=estimate_is_possible,
    ),
    "perfect_csi": Receiver(perfect_csi, "perfect CSI, one tap", genie=True),
    "genie_wiener": Receiver(
        genie_wiener, "true taps, Wiener in time", genie=True, revision=2, requires=fits_the_grid
    ),
    "ls_lin": Receiver(ls_lin, "LS, linear", requires=orthogonal_pilots),
    "ls_lin_time_avg": Receiver(
        ls_lin_time_avg, "LS, linear, time average", requires=orthogonal_pilots
    ),
    "ls_delay_limited": Receiver(ls_delay_limited, "LS, delay-limited"),
    "joint_lmmse": Receiver(joint_lmmse, "joint LMMSE, true covariance"),
    "lmmse_interpolator": Receiver(
        lmmse_interpolator,
        "LMMSE interpolator, true covariance",
        slow=True,
        requires=orthogonal_pilots,
    ),
    "pusch_ls": Receiver(pusch, "PUSCHReceiver, LS", requires=is_pusch),
    "pusch_fixed_pole": Receiver(
        partial(pusch, estimator="fixed_pole"),
        "PUSCHReceiver, fixed-pole estimate",
        revision=2,
        requires=is_pusch,
    ),
    "pusch_fixed_pole_detector": Receiver(
        partial(pusch, estimator="fixed_pole", detector="fixed_pole"),
        "PUSCHReceiver, fixed-pole estimate and detector",
        revision=2,
        requires=is_pusch,
    ),
    "pusch_perfect": Receiver(
        pusch_perfect,
        "PUSCHReceiver, perfect CSI",
        genie=True,
        requires=is_pusch_without_precoder,
    ),
    "pusch_time": Receiver(pusch_time, "PUSCH in time, fixed poles", requires=is_pusch),
    "kbest": Receiver(kbest, "K-Best, joint LMMSE", slow=True, requires=several_streams),
    "ep": Receiver(ep, "EP, joint LMMSE", revision=2, requires=several_streams),
    "esn": Receiver(esn, "tanh ESN", revision=2, requires=has_enough_pilots),
    "bptt": _learnt(bptt, "BPTT, poles learned (Adam)", revision=3),
    "bptt_warm": _learnt(
        partial(bptt, init="ridge", bank="per_antenna", radius=0.8),
        "BPTT from the fixed ring's ridge",
    ),
    "bptt_dense": _learnt(partial(bptt, network="dense"), "BPTT, dense RNN"),
    "bptt_gru": _learnt(partial(bptt, network="gru"), "BPTT, GRU"),
    "bptt_lstm": _learnt(partial(bptt, network="lstm"), "BPTT, LSTM"),
    "lbfgs": _learnt(partial(bptt, optimizer="lbfgs"), "poles learned (L-BFGS)"),
    "varpro": _learnt(
        partial(bptt, optimizer="varpro", init="ring", bank="per_antenna", radius=0.8),
        "poles learned (variable projection)",
    ),
    "pretrained_frozen": _learnt(
        partial(bptt, pretrained="frozen", init="ring", bank="per_antenna", radius=0.8),
        "poles learned offline",
    ),
    "pretrained_fine_tuned": _learnt(
        partial(bptt, pretrained="fine_tuned", init="ring", bank="per_antenna", radius=0.8),
        "poles learned offline, fine-tuned (Adam)",
    ),
}


def resolve(name: str, options: Mapping[str, object] | None = None) -> dict[str, object]:
    """Complete and check the options of a receiver.

    Args:
        name: a key of RECEIVERS.
        options: some of its builder's options; the others take their default.

    Returns:
        All options, in the order of the builder's signature.

    Raises:
        ValueError: for an unknown receiver or option, naming near ones, or a refused choice.
        TypeError: for a value of the wrong type.
    """
    if name not in RECEIVERS:
        raise ValueError(unknown("receiver", name, RECEIVERS))
    return complete_options(name, RECEIVERS[name].build, options)


__all__ = ["RECEIVERS", "Receiver", "resolve"]
