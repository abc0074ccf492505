"""Tidy tables of a run: one row per event, connection, request, delivery, or run.

Pure functions of the trace; nothing is recorded twice. Times are seconds from the start of the run
and NaN means "did not happen"; -1 stands in a column of whole numbers that does not apply.
An event that may happen once and is in the trace twice is an error, not a row that goes missing.
"""

from .age import age_over_time, mean_age_s
from .connection import connections, open_over_time
from .delivery import STATES, deliveries
from .processor import processor_time_s
from .request import requests
from .summaries import summary
from .trace import events
