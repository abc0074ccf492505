"""Figures of runs: each takes runs and an `ax`, draws on it and returns it.

They share one grammar: one color a transport, names on the lines and no legend box, time to scale,
the model dashed, the recorded run gray, the reader's guess dotted, a title that says what to see.
A notebook draws figures of its own in it with the colors, `axes` and `entitle`.
"""

from .age import freshness
from .connection import lifelines
from .count import timeline
from .crowd import rain
from .frame import frame_bits
from .gap import gap_strip
from .latency import ecdf
from .pair import connections_and_latency
from .race import replay
from .sequence import ladder
from .size import bytes_to_scale
from .style import FAINT, GRAY, INK, PALE, TRANSPORT_STYLE, Style, axes, entitle
from .style import GRAY as GREY
