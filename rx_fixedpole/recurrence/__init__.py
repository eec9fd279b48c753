"""Banks of fixed one-pole filters: states, outputs and Gram matrices in chunks, any length."""

from .forward import impulse_response, states
from .gram import gram
from .output import output
from .realization import BASES
from .window import delay_line, delay_line_output
from .within import states_within

__all__ = [
    "BASES",
    "delay_line",
    "delay_line_output",
    "gram",
    "impulse_response",
    "output",
    "states",
    "states_within",
]
