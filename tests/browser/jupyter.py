"""JupyterLab for the tests, as a reader has it, with folders of its own and a copy of the notebooks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The longest time [s] that JupyterLab may take until it answers, on a machine that does much else.
START_S = 90.0
#: Opens what is on this machine, whatever proxy the system has.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


#: Begins a kernel in which runs are simulated, except in the notebooks that are named: it waits for none.
TWINS = """import os
import lpws

def twin(transport, work, link=None, **_):
    return lpws.simulate(transport, work, link and lpws.Link(delay_s=link.delay_s))

def crowd(backoff, restart=None, *, handler=None):
    from lpws.crowd import stampede
    return stampede(backoff, restart)

if not os.path.basename(os.environ.get("JPY_SESSION_NAME", "")).startswith({measured!r}):
    lpws.measure, lpws.stampede = twin, crowd
del crowd, os, twin
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def jupyterlab(
    folder: Path, base_url: str = "/", measured: tuple[str, ...] | None = None, **environment: str
) -> Iterator[str]:
    """The address of a JupyterLab that runs inside this context.

    Parameters
    ----------
    folder
        Where it keeps everything; the reader's files are in its folder ``home``.
    base_url
        Where it is on its host, as a hub would have it.
    measured
        How the names of the notebooks begin whose runs are measured; if not given, those of all.
    environment
        Variables of the environment that it starts in, and its kernels too.
    """
    port, url = free_port(), None
    # The set-up's own settings are with the environment, where `run.py lab` finds them too.
    own = {name: str(folder / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
        "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
    )}  # fmt: skip
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.base_url": base_url,
        "ServerApp.root_dir": folder / "home",
        "ServerApp.allow_root": True,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,  # as `jupyterapp`
    }
    if measured is not None:
        start = folder / "ipythondir" / "profile_default" / "startup"
        start.mkdir(parents=True)
        (start / "twins.py").write_text(TWINS.format(measured=measured), encoding="utf-8")
    unwanted = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(ROOT / "notebooks", folder / "home" / "notebooks", ignore=unwanted)
    with open(folder / "jupyterlab.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{k}={v}" for k, v in options.items())],
            stdout=log,
            stderr=log,
            env=os.environ | own | environment,
            cwd=folder,
        )
        try:
            url = f"http://127.0.0.1:{port}{base_url}"
            _wait_for(f"{url}api/status", process, folder / "jupyterlab.log")
            yield url
        finally:
            process.terminate()  # which ends its kernels, too
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until the address answers."""
    end = time.monotonic() + START_S
    while True:
        try:
            with DIRECT.open(url, timeout=5) as answer:
                json.load(answer)
            return
        except (urllib.error.URLError, OSError):
            ended = process.poll() is not None
            if ended or time.monotonic() > end:
                said = log.read_text(encoding="utf-8")
                raise RuntimeError(f"expected JupyterLab at {url}, got:\n{said}") from None
            time.sleep(0.1)


#: Opens a notebook, and waits until its kernel can run it.
OPEN = """async (path) => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  window.panel = panel;
}"""

#: Runs all cells, by the command behind "Run All Cells"; true once every one is through without an error.
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"

#: Runs one cell, by the command behind "Run Selected Cell".
RUN = """async (number) => {
  const notebook = window.panel.content;
  await notebook.scrollToItem(number, "start");
  notebook.activeCellIndex = number;
  await window.jupyterapp.commands.execute("notebook:run-cell");
}"""

#: What the notebook holds: for each cell its type, execution count, and outputs.
CELLS = """() => Array.from(window.panel.content.model.cells, (cell) => ({
  type: cell.type,
  count: cell.executionCount ?? null,
  trusted: cell.trusted ?? null,
  hidden: cell.getMetadata("jupyter")?.outputs_hidden ?? false,
  source: cell.sharedModel.getSource(),
  outputs: cell.type === "code" ? cell.outputs.toJSON() : [],
}))"""

#: Scrolls to each output of a cell and says what is seen there: its words, its picture, its frame.
SEE = """async (number) => {
  const notebook = window.panel.content, cell = notebook.widgets[number];
  const box = (node) => {
    if (!node?.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true })) return null;
    const { width, height } = node.getBoundingClientRect();
    return { width, height };
  };
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await notebook.scrollToItem(number, "start");
  await cell.ready;
  const seen = [];
  // Looked up anew each time: JupyterLab may draw an output again, in another node.
  const outputs = () => cell.node.querySelectorAll(".jp-OutputArea-output");
  for (let at = 0; at < outputs().length; at++) {
    let node, picture, film;
    // JupyterLab draws what is scrolled to when it gets to it: within 1,200 frames, or twenty seconds. What
    // it draws around may push this out of sight meanwhile, so it is asked for at another place now and then.
    for (let n = 0; n < 600; n++) {
      node = outputs()[at] ?? node;
      if (n % 10 === 0) node.scrollIntoView({ block: ["center", "start", "end"][(n / 10) % 3] });
      picture = node.querySelector("img");
      await picture?.decode();
      await drawn();
      // A film plays in a frame, in place of its picture, and has the same words as its title.
      film = node.querySelector("iframe");
      if (!(picture || film) || box(picture) || box(film)) break;
    }
    const [words, described] = [node.innerText, picture?.alt ?? film?.title ?? ""];
    const [frame, { top, bottom }] = [node.querySelector("iframe, object"), node.getBoundingClientRect()];
    const where = { top, bottom, attached: node.isConnected };
    seen.push({ words, described, picture: box(picture), frame: box(frame), ...where });
  }
  cell.node.querySelector(".jp-OutputArea")?.scrollIntoView({ block: "start" });
  await drawn();
  return { outputs: seen, width: notebook.node.getBoundingClientRect().width };
}"""


def live_page(page, part: str):
    """The frame of a live page whose address has this part, once it is there."""
    deadline = time.monotonic() + START_S
    while True:
        for frame in page.frames[1:]:
            if part in frame.url:
                return frame
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected a page with {part} in its address, got {page.frames}")
        page.wait_for_timeout(50)


def scroll_to(page, server: str) -> tuple[int, str]:
    """Scroll to the live page of a server, by its name in the kernel; its cell's number and its port."""
    begins = re.compile(rf"live_page\(\s*{server}\b")
    number = next(n for n, cell in enumerate(page.evaluate(CELLS)) if begins.search(cell["source"]))
    page.evaluate(SEE, number)
    return number, page.evaluate(ASK, f"print({server}.port)").strip()


#: What a piece of Python prints in the notebook's kernel.
ASK = """async (code) => {
  const future = window.panel.sessionContext.session.kernel.requestExecute({ code, store_history: false });
  let said = "";
  future.onIOPub = (message) => { if (message.header.msg_type === "stream") said += message.content.text; };
  const reply = await future.done;
  if (reply.content.status !== "ok") throw new Error(reply.content.evalue);
  return said;
}"""

#: Ends the kernel of the notebook.
END = "() => window.panel.sessionContext.shutdown()"
