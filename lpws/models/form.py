"""Helpers of the closed forms: the check of their arguments, and the one mean that many need."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature

import numpy as np


def closed_form(formula: Callable) -> Callable:
    """The formula for arrays and numbers, with its arguments checked; numbers alone give a float."""
    names = list(signature(formula).parameters)

    @wraps(formula)
    def checked(*where, **parameters):
        where = [np.asarray(value, float) for value in where]
        parameters = {name: np.asarray(value, float) for name, value in parameters.items()}
        for name, value in [*zip(names, where, strict=False), *parameters.items()]:
            if np.isnan(value).any() or (name in parameters and (value < 0).any()):
                raise ValueError(f"{formula.__name__}({name}=…): expected numbers from 0 up, got {value}")
        # 1/0 is the right answer for a cycle of no length, 0/0 for nothing at all.
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.asarray(formula(*where, **parameters))
        if np.isnan(result).any():
            given = ", ".join(f"{name}={value}" for name, value in parameters.items())
            raise ValueError(f"{formula.__name__}: expected arguments that leave no 0/0, got {given}")
        return result.item() if result.ndim == 0 else result

    return checked


def mean_wait(rate_hz, at_most_s):
    """Mean of min(Exp(rate), limit) [s]: the wait for the next message, if it is given up in the end."""
    rate = np.where(rate_hz > 0, rate_hz, 1.0)
    return np.where(rate_hz > 0, -np.expm1(-rate * at_most_s) / rate, at_most_s)
