"""The stage a job is in, and what was expected of each, to the time left in total."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipelines.jobs.names import option

_SLOWER, _FASTER = 4.0, 0.25  # what was expected is corrected by what was seen, within these bounds
_TRAIN: Final = "train seed "


def total_left(
    arguments: Sequence[str], expected: Sequence[tuple[str, float]], standing: Mapping[str, Any]
) -> tuple[float | None, bool]:
    """Seconds left in total, and whether more will come on top that nobody has measured.

    expected: name and seconds of each stage, in order; empty when the job was started without an estimate: then only
    the trainings of seeds to come are counted, each as long as the present one. standing: of progress.json.
    None when nothing can be told yet.
    """
    here = standing["seconds_left"]
    if not expected:
        if here is None:
            return None, True
        later = _seeds_after(arguments, standing["stage"])
        return here + later * _whole(standing), True
    names = [name for name, _ in expected]
    if standing["stage"] not in names:
        return None, False
    at = names.index(standing["stage"])
    if here is None:
        share = standing["done"] / standing["total"] if standing["total"] else 0.0
        here = expected[at][1] * (1 - min(share, 1.0))
    seen = dict(standing["stages"])
    if standing["seconds_left"] is not None:
        seen[standing["stage"]] = _whole(standing)
    return here + sum(seconds * _correction(name, expected, seen) for name, seconds in expected[at + 1 :]), False


def _whole(standing: Mapping[str, Any]) -> float:
    """Seconds the present stage takes from its first step to its last, at its speed so far."""
    to_do = standing["total"] - standing["done"]
    if to_do <= 0:
        return float(standing["seconds"])
    return float(standing["seconds_left"]) / to_do * standing["total"]


def _correction(name: str, expected: Sequence[tuple[str, float]], seen: Mapping[str, float]) -> float:
    """How much longer stages took than was expected: those of this kind if there were any, else all together."""
    kind = name.partition(" ")[0]
    same = [(seen[one], seconds) for one, seconds in expected if one in seen and one.partition(" ")[0] == kind]
    every = same or [(seen[one], seconds) for one, seconds in expected if one in seen]
    planned = sum(seconds for _, seconds in every)
    if planned <= 0:
        return 1.0
    return min(_SLOWER, max(_FASTER, sum(seconds for seconds, _ in every) / planned))


def _seeds_after(arguments: Sequence[str], stage: str) -> int:
    seeds = (option(arguments, "--seeds") or "0").split(",")
    here = stage.removeprefix(_TRAIN)
    return len(seeds) - 1 - seeds.index(here) if stage.startswith(_TRAIN) and here in seeds else 0
