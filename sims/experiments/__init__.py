"""The experiments of the paper, and ours: each leaves its data, a figure or table, and a caption.

To add one, write a file `<name>.py` in this folder with the three functions `settings`, `compute`
and `present` of :class:`~sims.experiments.experiment.Module`, and one entry below. What computes
is told apart from what shows: a figure is drawn from the stored numbers alone, so that it can be
drawn anew without computing, and shows nothing that is not stored.

Modules are imported when their experiment runs, so that the list is there without TensorFlow.
"""

from __future__ import annotations

import difflib

from sims.experiments.experiment import Experiment, Outcome
from sims.experiments.record import Parts, Presentation, Record, Result

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Outcome",
    "Parts",
    "Presentation",
    "Record",
    "Result",
    "choose",
    "describe_all",
]

EXPERIMENTS: dict[str, Experiment] = {
    "statements": Experiment(
        "statements", "table", "Every statement of the paper, checked on random complex systems"
    ),
    "surface": Experiment(
        "surface", "figure", "Figure 1: the loss over two poles, its valley and its conditioning"
    ),
    "training_dynamics": Experiment(
        "training_dynamics", "figure", "Figure 2: loss, gradient and conditioning over the epochs"
    ),
    "eigenvalues": Experiment(
        "eigenvalues", "figure", "Figure 3: where the eigenvalues of W_rec go during training"
    ),
    "conditioning": Experiment(
        "conditioning", "figure", "How well conditioned the states are, fixed and trained"
    ),
    "scarce_pilots": Experiment(
        "scarce_pilots", "table", "Bit errors and time of every training method, few pilots"
    ),
    "comparison": Experiment(
        "comparison", "figure", "Fixed against learnt over Eb/N0 and time, 1, 2 and 4 pilot symbols"
    ),
    "phase_diagram": Experiment(
        "phase_diagram", "figure", "Where learning pays: pilots x SNR x number of poles"
    ),
}


def choose(kind: str, names: list[str]) -> list[Experiment]:
    """Return the experiments of a kind, "figure" or "table", that names stand for.

    Raises:
        ValueError: for a name that is none, with the near ones.

    >>> [experiment.name for experiment in choose("table", ["statements"])]
    ['statements']
    >>> choose("figure", ["surfce"])
    Traceback (most recent call last):
    ValueError: unknown figure 'surfce'; did you mean 'surface'?
    """
    known = [name for name, experiment in EXPERIMENTS.items() if experiment.kind == kind]
    for name in names:
        if name in known:
            continue
        if name in EXPERIMENTS:
            other = EXPERIMENTS[name].kind
            raise ValueError(f"{name!r} is no {kind} but a {other}: --{other} {name}")
        near = difflib.get_close_matches(name, EXPERIMENTS, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else f"known: {', '.join(known)}"
        )
        raise ValueError(f"unknown {kind} {name!r}; {hint}")
    return [EXPERIMENTS[name] for name in names]


def describe_all() -> str:
    """Return a list of the experiments, a line each."""
    return "\n".join(
        f"--{experiment.kind} {name:20} {experiment.title}"
        for name, experiment in EXPERIMENTS.items()
    )
