"""Receivers whose recurrence is learnt in every slot, by backpropagation through time and more.

    s[n] = f(s[n-1], y[n]),   x_hat[n] = C s[n + d] + sum_(w<W) T_w y[n + d - w]

The recurrence f, readout C and taps T start anew in every slot and are trained on that slot's
pilots. The loss is that of the fixed-pole equalizer: the error at the pilot resource elements
after the FFT over the pilot symbols, plus reg no (|C|^2 + |T|^2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from rx_fixedpole.receivers.frontend import default_delay, default_window
from sims.link import Link
from sims.receivers.base import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, WHOLE, Options
from sims.receivers.grid import pilot_grid
from sims.receivers.learned import Frame, LearnedReceiver, Trainer
from sims.receivers.pretrained import pretrained_network
from sims.receivers.recurrences import Recurrence
from sims.scenario import Scenario
from sims.training import LBFGS, OPTIMIZERS, Descent, Regression, VarPro, held_out_mask

# First step size and most steps of every method; see `bptt` for how they were found.
LEARNING_RATES: dict[tuple[str, str], float] = {
    ("diagonal", "sgd"): 0.1,
    ("diagonal", "momentum"): 0.3,
    ("diagonal", "rmsprop"): 0.01,
    ("diagonal", "adam"): 0.03,  # random poles like 0.1 best, the ridge start 0.01, by 1 %
    ("diagonal", "adamw"): 0.03,
    ("dense", "adam"): 0.003,
    ("gru", "adam"): 0.003,
    ("lstm", "adam"): 0.003,
    # The best of two or three rates only, which differ by 0.4 to 3 %; AdamW's is Adam's.
    ("dense", "sgd"): 0.03,
    ("dense", "momentum"): 0.01,
    ("dense", "rmsprop"): 0.001,
    ("dense", "adamw"): 0.003,
}
NUM_STEPS: dict[str, int] = {"lbfgs": 100, "varpro": 50}
DESCENT_STEPS = 200


def go_together(scenario: Scenario, options: Options) -> str | None:
    """Refuse options that do not go together, or hold out no pilots or all of them."""
    names = [field.name for field in dataclasses.fields(Recurrence)]
    try:
        recurrence = Recurrence(**{name: options[name] for name in names})
        Frame(
            window=0,
            delay=0,
            reg=options["reg"],
            ridge_start=_ridge_start(*(options[x] for x in ("init", "pretrained", "optimizer"))),
            refit=options["refit"],
        )
        method = ("pretrained", "optimizer", "learning_rate", "num_steps", "patience")
        _trainer(recurrence, *(options[name] for name in method))
        held_out_mask(scenario.num_pilots, options["held_out"])
    except ValueError as error:
        return str(error)
    return None


def bptt(
    link: Link,
    *,
    network: Literal["diagonal", "dense", "gru", "lstm"] = "diagonal",
    optimizer: Literal[
        "adam", "adamw", "rmsprop", "momentum", "sgd", "lbfgs", "varpro", "none"
    ] = "adam",
    init: Literal["random", "ring", "ridge"] = "random",
    parametrization: Literal["stable", "free"] = "stable",
    bank: Literal["shared", "per_antenna"] = "shared",
    activation: Literal["linear", "split_tanh", "modrelu"] = "linear",
    num_poles: COUNT = 8,
    num_neurons: COUNT = 32,
    radius: SHARE = 0.9,
    window: WHOLE | None = None,
    delay: WHOLE | None = None,
    learning_rate: POSITIVE | None = None,
    num_steps: COUNT | None = None,
    patience: COUNT = 40,
    held_out: SHARE = 0.2,
    reg: NOT_NEGATIVE = 1.0,
    refit: bool = True,
    readout: Literal["ard", "ridge"] = "ard",
    pretrained: Literal["no", "frozen", "fine_tuned"] = "no",
    pretraining_steps: COUNT = 150,
    seed: WHOLE = 0,
) -> LearnedReceiver:
    """Recurrent network, trained in every slot.

    Args:
        link: the link to receive on.
        network: "diagonal" (a bank of trainable poles), "dense" (a complex RNN), "gru" or "lstm"
            (real units on real and imaginary parts).
        optimizer: a gradient method; "lbfgs"; "varpro", Levenberg-Marquardt on the poles with the
            readout solved inside; or "none": the first recurrence stays, only the readout is
            fitted.
        init: the first recurrence, "random" (poles in the disc), or poles on a "ring"; "ridge": the
            ring, or another network's random recurrence, with the readout of the ridge regression
            on the learnt pilots.
        parametrization: of the poles, "stable" (they cannot leave the unit circle) or "free" (they
            can, and a slot in which they do keeps its best step before that).
        bank: whether all antennas drive one bank through trainable weights, "shared", or each its
            own, "per_antenna", as in the fixed-pole equalizer.
        activation: of the dense network.
        num_poles: poles of a bank, >= 1.
        num_neurons: states of the other networks, >= 1.
        radius: of the first poles' disc or ring, or the dense matrix' spectral radius, in (0, 1).
        window: samples per antenna of the delay line, >= 0; None: as many as FixedPoleEqualizer
            has with this number of poles an antenna, counting only banks per antenna.
        delay: decision delay in samples, >= 0; None: half of window, or of
            window + poles of banks per antenna.
        learning_rate: of a gradient method, at first; it decays to zero along half a cosine. None:
            that of LEARNING_RATES, found by `scripts/learning_rates.py`: of four rates half a
            decade apart the one with the least geometric mean of bit error rates before decoding,
            on 16 slots each of cdl_2x2, nominal_siso and short_cp that no sweep draws. With a
            refit it matters little: 1 % between 0.003 and 0.1 for Adam on poles, 11 % for the GRU.
        num_steps: most steps; None: 200 of a gradient method, 100 of "lbfgs", 50 of "varpro".
            Twice as many change the bit error rate by -0.7 % to +3.0 %.
        patience: steps without a smaller held-out error after which a slot stops, >= 1.
        held_out: share of the pilots that decide when to stop, in (0, 1).
        reg: ridge regularisation of readout and taps in units of the noise variance, >= 0.
        refit: whether readout and taps are fitted anew to all pilots after training; if not, the
            held-out pilots give the error variance.
        readout: the regression of that fit, as for the fixed-pole equalizer: "ard" learns prior
            powers and the error's variance from the pilots, "ridge" knows the noise variance alone.
        pretrained: whether the first recurrence is trained offline on other slots, and then stays
            as it is, "frozen", or is trained on, "fine_tuned".
        pretraining_steps: batches of slots of that training, >= 1.
        seed: of the first recurrence.

    Returns:
        The receiver, (slots) -> llr.

    Raises:
        ValueError: if an option is out of range, or does not go with another.
    """
    recurrence = Recurrence(
        network=network,
        init=init,
        parametrization=parametrization,
        bank=bank,
        activation=activation,
        num_poles=num_poles,
        num_neurons=num_neurons,
        radius=radius,
        seed=seed,
    )
    if window is None:
        window = _window_for(link, recurrence.poles_an_antenna)
    frame = Frame(
        window=window,
        delay=default_delay(window, recurrence.poles_an_antenna) if delay is None else delay,
        held_out=held_out,
        reg=reg,
        ridge_start=_ridge_start(init, pretrained, optimizer),
        refit=refit,
        readout=readout,
    )
    trainer = _trainer(recurrence, pretrained, optimizer, learning_rate, num_steps, patience)
    if pretrained == "no":
        made = recurrence.make(link.scenario.num_rx_ant)
    else:
        made = pretrained_network(link, recurrence, frame, num_steps=pretraining_steps)
    return LearnedReceiver(link, made, trainer, frame)


def _ridge_start(init: str, pretrained: str, optimizer: str) -> bool:
    return init == "ridge" or pretrained != "no" or optimizer == "none"


def _trainer(
    recurrence: Recurrence,
    pretrained: str,
    optimizer: str,
    learning_rate: float | None,
    num_steps: int | None,
    patience: int,
) -> Callable[[Regression], Trainer] | None:
    """What makes the training function, checked now."""
    if pretrained == "frozen":
        _refuse("pretrained", pretrained, learning_rate=learning_rate, num_steps=num_steps)
        return None
    if optimizer == "none":
        _refuse("optimizer", optimizer, learning_rate=learning_rate, num_steps=num_steps)
        return None
    steps = NUM_STEPS.get(optimizer, DESCENT_STEPS) if num_steps is None else num_steps
    if optimizer in OPTIMIZERS:
        if learning_rate is None:
            learning_rate = LEARNING_RATES.get((recurrence.network, optimizer), 0.03)
        method = OPTIMIZERS[optimizer](learning_rate, steps)
        return lambda regression: Descent(regression, method, patience=patience)
    _refuse("optimizer", optimizer, learning_rate=learning_rate)
    if optimizer == "lbfgs":
        return lambda regression: LBFGS(regression, num_steps=steps, patience=patience)
    if recurrence.network != "diagonal" or recurrence.parametrization != "stable":
        raise ValueError(
            "optimizer 'varpro' needs network 'diagonal' and parametrization 'stable', "
            f"got {recurrence.network!r} and {recurrence.parametrization!r}"
        )
    return lambda regression: VarPro(regression, num_steps=steps, patience=patience)


def _refuse(name: str, value: str, **options: object) -> None:
    """Refuse options that a choice leaves without a meaning."""
    for option, given in options.items():
        if given is not None:
            raise ValueError(f"{option} must be None for {name} {value!r}, got {given!r}")


def _window_for(link: Link, num_poles: int) -> int:
    """The delay line that FixedPoleEqualizer has beside this many poles an antenna."""
    num_pilots = pilot_grid(link.resource_grid).symbols.size
    scenario = link.scenario
    return default_window(num_pilots // scenario.num_rx_ant, num_poles, scenario.cp_length)
