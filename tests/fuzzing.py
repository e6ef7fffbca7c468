"""How many random, damaged or hostile inputs a test tries: all with FUZZ=1 (`make fuzz`), else a fixed tenth."""

import os

import numpy as np

FULL = os.environ.get("FUZZ", "") not in ("", "0")


def trials(full: int, gate: int | None = None) -> int:
    """`full` with FUZZ=1; else `gate`, by default a tenth.

    >>> trials(250)
    25
    """
    if FULL:
        return full
    return max(1, full // 10) if gate is None else gate


def sample(cases: list, gate: int, *, seed: int = 7, always: tuple = ()) -> list:
    """All cases with FUZZ=1; else those that failed once (`always`) and `gate` others, the same in every session."""
    if FULL:
        return list(cases)
    others = [case for case in cases if case not in always]
    chosen = np.random.default_rng(seed).choice(len(others), min(gate, len(others)), replace=False)
    return [*always, *(others[at] for at in sorted(chosen))]
