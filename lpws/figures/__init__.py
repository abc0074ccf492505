"""Figures of runs: each takes runs and an `ax`, draws on it and returns it.

They share one grammar: one colour a transport, names on the lines and no legend box, time to scale,
the model dashed, the recorded run grey, the reader's guess dotted, a title that says what to see.
"""

from .ecdf import ecdf
from .ladder import ladder
from .lifelines import lifelines
from .style import TRANSPORT_STYLE, Style
from .timeline import timeline

__all__ = ["TRANSPORT_STYLE", "Style", "ecdf", "ladder", "lifelines", "timeline"]
