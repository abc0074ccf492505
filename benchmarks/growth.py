"""How cost grows: from ten clients to ten thousand, over each transport.

    python benchmarks/growth.py

measures ``data/growth.csv`` again and draws ``data/growth.png`` from it, in some five minutes. The
machine should have nothing else to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from crowd import memory_bytes
from matplotlib.ticker import LogLocator
from rooms import MOST
from rows import Row

import lpws
from lpws import tables
from lpws.figures import INK, PALE, TRANSPORT_STYLE, axes, entitle
from lpws.figures.labels import size_of, spread
from lpws.machine import make_room_for_files
from lpws.recordings import DATA

CLIENTS = (10, 100, 1_000, 10_000)
#: From one message to the next [s]: time enough for ten thousand long polls to be answered and sent again.
PERIOD_S = 2.0
#: From one poll to the next [s], on average: ten thousand clients then poll two thousand times a second.
INTERVAL_S = 5.0
MESSAGES = 2
#: Requests per second that come while memory is measured, so that it does not take long.
ARRIVALS_HZ = 2_000


def transports(interval_s: float) -> tuple[lpws.specs.Transport, ...]:
    """Those that are compared."""
    return (
        lpws.Reload(pause_s=interval_s),
        lpws.ShortPolling(interval_s=interval_s),
        lpws.LongPolling(hold_s=60.0),  # longer than a run: none is answered with nothing
        lpws.SSE(),
        lpws.WebSocket(),
    )


def processor_s(run: lpws.Run, begin_s: float, end_s: float) -> float:
    """Processor time [s] that the server's loop used in this time, whenever it had something to do.

    The loop says what it has used with each tick. An interval from one tick to the next in which nothing
    came or went is not counted: with few clients the ticks themselves would be most of it. A loop that
    serves thousands at once does not tick meanwhile: that interval counts as a whole.
    """
    events = [event for event in run.events if event[1] != "due"]
    ticks = np.array([(event[0], event[-1]) for event in events if event[1:3] == ("ticked", "server")])
    busy_s = [event[0] for event in events if event[1] != "ticked" and begin_s <= event[0] <= end_s]
    after = np.unique(np.searchsorted(ticks[:, 0], busy_s))  # the number of the tick that ends an interval
    after = after[(after > 0) & (after < len(ticks))]
    return 1e-6 * float((ticks[after, 1] - ticks[after - 1, 1]).sum())


def processor_s_per_delivery(run: lpws.Run) -> float:
    """Processor time [s] of the server in a second, over the deliveries that a second's messages are."""
    work = run.workload
    if run.transport.persistent:  # from the first message until a period after the last
        begin_s, end_s = work.due_times_s()[0], work.duration_s
    else:  # as long as all are there: from an interval after the start until the last has all
        begin_s = getattr(run.transport, "interval_s", None) or run.transport.pause_s
        end_s = max(event[0] for event in run.events if event[1] == "message_received")
    return processor_s(run, begin_s, end_s) / (end_s - begin_s) / (work.rate_hz * work.clients)


def cost(transport: lpws.specs.Transport, clients: int, period_s: float) -> dict:
    """Latency, and processor time of the server for each delivery; what was lost is seen in `delivered`."""
    # It ends a period after the last message: by then whoever polls has asked again.
    duration_s = (MESSAGES + 0.999) * period_s
    work = lpws.Workload(
        clients=clients, rate_hz=1 / period_s, duration_s=duration_s, pattern="periodic", seed=1
    )
    run = lpws.measure(transport, work)
    found = tables.summary(run)
    counts, latency_s = found["counts"].iloc[0], found["latency_s"].iloc[0]
    return {
        "transport": transport.label,
        "clients": clients,
        "messages": int(counts.published),
        "delivered": int(counts.delivered),
        "latency_median_s": float(latency_s["median"]),
        "latency_p99_s": float(latency_s["p99"]),
        "processor_s_per_delivery": processor_s_per_delivery(run),
        "server_late_p99_s": run.health.lateness_s["server loop"][1],
    }


def memory(transport: lpws.specs.Transport, clients: int) -> float:
    """Memory [bytes] that a fresh server process takes for each client, its record included."""
    # Who polls does so more often than in the run, to be there sooner.
    often = {name: clients / ARRIVALS_HZ for name in ("pause_s", "interval_s") if hasattr(transport, name)}
    if not transport.persistent:
        transport = replace(transport, **often)
    return memory_bytes("lpws", transport, clients)


def growth(clients: tuple[int, ...], period_s: float, interval_s: float) -> pd.DataFrame:
    """One row a transport and number of clients."""
    make_room_for_files(MOST)  # for the children too
    rows = []
    few, many = [n for n in clients if n <= 1_000], [n for n in clients if n > 1_000]
    for transport in transports(interval_s):
        # A few clients that poll leave the machine idle most of the time: their runs go side by side.
        at_once = 1 if transport.persistent else max(1, len(few))
        with ThreadPoolExecutor(at_once) as pool:
            mine = list(pool.map(lambda n, t=transport: cost(t, n, period_s), few))
        mine += [cost(transport, n, period_s) for n in many]
        for row in mine:
            row["memory_bytes_per_client"] = memory(transport, row["clients"])
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        rows += mine
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------ the figure

#: Column → title, how to read it, by what to multiply.
PANELS = {
    "latency_median_s": (
        "Only what is sent to all takes longer among many",
        "median latency [ms], and up to the 99th percentile",
        1e3,
    ),
    "processor_s_per_delivery": (
        "A delivery on a stream costs least, at every size",
        "processor time of the server a delivery [µs]",
        1e6,
    ),
    "memory_bytes_per_client": (
        "No client takes more memory among many",
        "memory of the server a client [KiB]",
        1 / 1024,
    ),
}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw latency, processor time and memory over the number of clients."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.5, 4.6))
    panels = figure.subplots(1, 3, gridspec_kw={"wspace": 0.42})
    for ax, (column, (title, note, factor)) in zip(panels, PANELS.items(), strict=True):
        panel(axes(ax, 5, 4), table, column, factor)
        entitle(ax, title, note, [])
    # Without the version of matplotlib: the same table makes the same picture.
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})


def panel(ax, table: pd.DataFrame, column: str, factor: float) -> None:
    """One line a transport, its name at its end."""
    ax.set(xscale="log", yscale="log", xticks=CLIENTS)
    ax.set_xticks(CLIENTS, [f"{n:,}" for n in CLIENTS])
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.yaxis.set_minor_formatter("")
    ax.grid(axis="y", color=PALE, alpha=0.4, linewidth=0.6)
    ax.set_xlabel("clients", color=INK)
    texts, ends = [], []
    for label, rows in table.groupby("transport", sort=False):
        style, values = TRANSPORT_STYLE[label], factor * rows[column]
        ax.plot(rows.clients, values, color=style.color, marker=style.marker, markersize=5, linewidth=1.8)
        if column == "latency_median_s":
            # Beside each other, so that all are seen.
            x = rows.clients * 1.07 ** (list(TRANSPORT_STYLE).index(label) - 2)
            ax.vlines(x, values, factor * rows.latency_p99_s, color=style.color, linewidth=1, alpha=0.8)
        texts.append(ax.text(0, 0, label, color=style.ink, fontsize=9, va="center", clip_on=False))
        ends.append((rows.clients.iloc[-1], values.iloc[-1]))
    bottom, top = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top < 100 * bottom else (1,)))
    ax.set_ylim(bottom, top)  # now the names can be placed
    pixels = ax.transData.transform(ends)
    low, high = ax.get_window_extent().intervaly
    heights = np.array([size_of(text)[1] + 2 for text in texts])
    places = np.column_stack([pixels[:, 0] + 10, spread(pixels[:, 1], heights, low, high)])
    for text, place in zip(texts, ax.transData.inverted().transform(places), strict=True):
        text.set_position(place)


# --------------------------------------------------------------------------- the two ways in


def rows(small: bool = False) -> Iterator[Row]:
    """What the benchmark found."""
    table = growth((2, 8), 0.2, 0.2) if small else growth(CLIENTS, PERIOD_S, INTERVAL_S)
    for label, found in table.groupby("transport", sort=False):
        first, last = found.iloc[0], found.iloc[-1]
        who = f"{label}, {last.clients:,} clients"
        lost = int((found.clients * found.messages - found.delivered).sum())
        yield Row(
            f"{label}: deliveries lost", lost, goal=("at most", 0), note=f"of {found.delivered.sum():,}"
        )
        yield Row(f"{who}: median latency", 1e3 * last.latency_median_s, "ms")
        grows = last.processor_s_per_delivery / first.processor_s_per_delivery
        what = f"{who}: processor time a delivery, over that of {first.clients:,}"
        yield Row(what, grows, goal=("at most", 2.0))
        yield Row(f"{who}: memory a client", last.memory_bytes_per_client / 1024, "KiB")


def main() -> None:
    """Write the table, and draw it."""
    table = growth(CLIENTS, PERIOD_S, INTERVAL_S)
    digits = {name: 9 if name.startswith("processor") else 6 for name in table if "_s" in name}
    table = table.round(digits).astype({"memory_bytes_per_client": int})
    table.to_csv(DATA / "growth.csv", index=False)
    draw(table, DATA / "growth.png")
    print(table.to_string(index=False), lpws.run.machine(), sep="\n")


if __name__ == "__main__":
    main()
