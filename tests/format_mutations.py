"""Files of a data set, broken in many ways; and what must hold whatever comes of them."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fuzzing import trials

from pipelines.datasets.opening import open_dataset
from pipelines.errors import PipelineError
from pipelines.reading import DataReading

NASTY = (
    None, True, -1, 0, 2**31, 2**63, 10**400, 1.5, float("nan"), float("inf"), -1e308, "", "../../etc/passwd",
    "/etc/passwd", "a" * 3000, "\x00\n\u202e<b>", [], {}, [[]], [None], [[1, 2]], {"counts": [1]},
    {"size": [4, 4], "counts": "0" * 40},
)  # fmt: skip


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, cut, doubled, filled or swapped."""
    some = bytearray(content)
    kind = rng.integers(6)
    at = int(rng.integers(len(some))) if some else 0
    if kind == 0:
        for _ in range(int(rng.integers(1, 12))):
            some[int(rng.integers(len(some)))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del some[at:]
    elif kind == 2:
        some[at:at] = some[: int(rng.integers(1, 200))]
    elif kind == 3:
        some[at : at + int(rng.integers(1, 60))] = bytes(rng.integers(0, 256, 30).astype(np.uint8))
    elif kind == 4:
        some[at : at + 16] = b"\xff" * 16
    else:
        del some[at : at + int(rng.integers(1, 40))]
    return bytes(some)


def restructured(value, rng: np.random.Generator):
    """JSON with one to three of its values replaced, removed or doubled, anywhere."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(value))
        holder, key = places[int(rng.integers(len(places)))]
        kind = rng.integers(4)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(0, copy.deepcopy(holder[key]))
        elif kind == 2:
            other, name = places[int(rng.integers(len(places)))]
            holder[key] = copy.deepcopy(other[name])
        else:
            holder[key] = copy.deepcopy(NASTY[int(rng.integers(len(NASTY)))])
        if not isinstance(value, (dict, list)) or not value:
            break
    return value


def _places(value) -> Iterator[tuple]:
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def ends_well(root: Path, reading: DataReading) -> str:
    """Opens a data set and examines every image; "whole", "findings" or "refused". Fails on anything else."""
    try:
        dataset = open_dataset(root, reading)
    except PipelineError as error:
        if not str(error) or not str(error).isprintable():
            raise AssertionError(f"no printable line: {error!r}") from error
        return "refused"
    for finding in dataset.structure():
        assert finding.message.isprintable(), repr(finding.message)
    bad = False
    for name in dataset.names():
        found = dataset.examine(name)
        for finding in found.findings:
            assert finding.message.isprintable(), repr(finding.message)
        bad |= found.item is None
    return "findings" if bad else "whole"


def mutate_folder(
    source: Path, place: Path, count: int, seed: int, reading: DataReading, *,
    which: Callable[[Path], bool] = lambda path: True, structural: Callable[[Path], bool] = lambda path: False,
) -> dict[str, int]:  # fmt: skip
    """Breaks one file of a data set, a tenth of count times (all with FUZZ=1), and counts how that ends.

    The folder itself must not change.
    """
    rng = np.random.default_rng(seed)
    root = place / source.name
    shutil.copytree(source, root)
    files = sorted(path for path in root.rglob("*") if path.is_file() and which(path))
    contents = {path: path.read_bytes() for path in files}
    listing = sorted(str(path) for path in place.rglob("*"))
    ended = {"whole": 0, "findings": 0, "refused": 0}
    for _ in range(trials(count)):
        path = files[int(rng.integers(len(files)))]
        if structural(path) and rng.random() < 0.7:
            broken = json.dumps(restructured(json.loads(contents[path]), rng)).encode()
        else:
            broken = damaged(contents[path], rng)
        path.write_bytes(broken)
        try:
            ended[ends_well(root, reading)] += 1
        except BaseException as error:
            kept = place.parent / f"broken-{path.name}"
            kept.write_bytes(broken)
            raise AssertionError(f"{type(error).__name__}: {error}; broken file kept as {kept}") from error
        assert path.read_bytes() == broken
        path.write_bytes(contents[path])
    assert sorted(str(path) for path in place.rglob("*")) == listing, "something was written"
    return ended
