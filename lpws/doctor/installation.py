"""Looks at this Python: its version, the packages in it, the kernel of the notebooks."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from pathlib import Path

from . import cures
from .cures import Finding, install, mend, rename, set_up, without

#: Packages that lpws imports itself, those with compiled parts above all.
IMPORTED = (
    *("tornado", "numpy", "pandas", "matplotlib", "httptools", "picows", "cloudpickle", "loky", "tqdm"),
    "IPython",
)


def python(version: tuple[int, ...] = tuple(sys.version_info)) -> Finding:
    """Look at the version of this Python."""
    found = ".".join(map(str, version[:3]))
    if version[:2] < (3, 11):
        return Finding(f"this is Python {found}, and lpws needs 3.11 or newer", set_up())
    return Finding(f"Python {found}")


def packages() -> Finding:
    """Look at every package that lpws and its notebooks ask for: is it there, new enough, and whole?"""
    try:
        wanted = importlib.metadata.requires("lpws") or []
    except importlib.metadata.PackageNotFoundError:
        there = (cures.CHECKOUT / "run.py").exists()
        return Finding(
            "lpws is not installed in this Python", set_up() if there else install(f"{cures.CHECKOUT}[lab]")
        )
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Finding("packaging is missing", mend("packaging"))
    bad, typed = [], []
    for requirement in map(Requirement, wanted):
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in ("", "lab")):
            continue  # for another system, or for the tests only
        try:
            found = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
        else:
            if requirement.specifier.contains(found.version, prereleases=True):
                continue
            elsewhere = _on_python_path(found)
            where = f" (from {elsewhere}, on PYTHONPATH)" if elsewhere else ""
            bad.append(
                f"{requirement.name} is {found.version}{where}, and needs to be {requirement.specifier}"
            )
            if elsewhere:
                typed.append(without("PYTHONPATH"))
                continue
        typed.append(mend(f"{requirement.name}{requirement.specifier}"))
    if bad:
        return Finding("; ".join(bad), "\n".join(dict.fromkeys(typed)))
    broken = {name: error for name in IMPORTED if (error := _import_error(name))}
    if broken:
        return Finding(
            "; ".join(f"{name} is there and does not load ({error})" for name, error in broken.items()),
            install(*broken, again=True),
        )
    return Finding("every package is there, new enough, and loads")


def _import_error(name: str) -> str:
    """The reason why a package cannot be imported; empty if it can."""
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a torn package may raise
        return f"{error}".splitlines()[0] if str(error) else type(error).__name__
    return ""


def _on_python_path(found: importlib.metadata.Distribution) -> str:
    """The folder of PYTHONPATH that the package lies in, if it lies in one."""
    place = os.path.realpath(str(found.locate_file("")))
    folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return next((folder for folder in folders if os.path.realpath(folder) == place), "")


def kernel() -> Finding | None:
    """Look whether JupyterLab would start its Python kernel with this Python."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return None  # packages says what is missing
    try:
        command = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("Jupyter has no Python kernel", mend("ipykernel"))
    started = command.argv[0]
    if os.path.dirname(started) and Path(started).parent.resolve() != Path(sys.executable).parent.resolve():
        return Finding(
            f"the kernel python3 in {command.resource_dir} starts another Python, {started}",
            rename(command.resource_dir, "python3-other"),  # under that name it can still be used
        )
    return Finding("the kernel of the notebooks is this Python")
