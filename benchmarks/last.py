"""A message to thousands of WebSockets, by the code of the lesson on crowds: how long until the last has it.

    python benchmarks/last.py

measures ``data/crowds.csv`` again, in a minute or two. The machine should have nothing else to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
from rows import Row

import lpws
from lpws.machine import make_room_for_files
from lpws.recordings import DATA

LESSON = Path(__file__).parent.parent / "notebooks" / "12_crowds.ipynb"
#: The cells of the lesson that say how a message is sent to all.
CELLS = ("news", "fan-out", "ways")
TELLS = ("as_dict", "as_text", "as_frame")


def lesson() -> dict:
    """The names of the lesson's own code; what its cells run is left out."""
    cells = {cell.id: cell.source for cell in nbformat.read(LESSON, as_version=4).cells}
    names: dict = {}
    for id in CELLS:
        exec(cells[id].partition("\n\n\nages_s = ")[0].partition("\n\n\nmost = ")[0], names)
    return names


def last(clients: tuple[int, ...]) -> pd.DataFrame:
    """One row a way to tell everybody and number of clients."""
    make_room_for_files(max(clients) + 100)
    fan_out = lesson()["fan_out"]
    rows = [(tell, many, fan_out(tell, many)[-1]) for many in clients for tell in TELLS]
    return pd.DataFrame(rows, columns=["tell", "clients", "last_s"])


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    table = last((20,) if small else (10_000,)).set_index("tell")
    for tell, row in table.iterrows():
        yield Row(f"plain Tornado to {row.clients:,.0f} clients, to the last: {tell}", 1e3 * row.last_s, "ms")
    for tell in TELLS[1:]:
        yield Row(f"the same, {tell} over as_dict", table.last_s[tell] / table.last_s["as_dict"])


def main() -> None:
    """Write the table."""
    table = last((1_000, 3_000, 10_000))
    table.to_csv(DATA / "crowds.csv", index=False)
    print(table.to_string(index=False), lpws.run.machine(), sep="\n")


if __name__ == "__main__":
    main()
