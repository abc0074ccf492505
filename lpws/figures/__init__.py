"""Figures of runs: each takes runs, draws, and returns Axes, a figure or a film.

They share one grammar: one color per transport, names on the lines and no legend box, time to scale,
the model dashed, the recorded run gray, the reader's guess dotted, a title that says what to see.
A notebook draws figures of its own in it: ``ax = lpws.axes(height=3)``, then plain Matplotlib, then
`entitle`, and at last `lpws.show` with a description.

===========================  ===================================================================
`connections_and_latency`    the pair that each lesson draws from its own run
`timeline`, `lifelines`      connections and requests: counts over time; bars of one client
`ecdf`                       the latency of messages, as a distribution
`ladder`                     a sequence diagram to scale
`freshness`, `gap_strip`     the age of a client's knowledge, as an area; the gap, as white in a strip
`rain`                       every message to every client of a crowd
`bytes_to_scale`             a square per byte
`frame_bits`                 a WebSocket frame, bit by bit
`replay`                     the moving race: ladders in one clock
`waves`                      a crowd that comes back, as a moving picture
===========================  ===================================================================
"""

from .age import freshness
from .connection import lifelines
from .count import timeline
from .crowd import rain
from .frame import frame_bits
from .gap import gap_strip
from .latency import ecdf
from .pair import connections_and_latency
from .panel import axes, entitle
from .race import replay
from .sequence import ladder
from .size import bytes_to_scale
from .style import FAINT, GRAY, INK, PALE, PAUSED, TRANSPORT_STYLE, Style
from .waves import waves
