"""What notebooks and scripts use: open a run, and compare outputs that lie in memory.

    from pipelines import compare, open_run

The arrays of `compare` take the way of an import from files (docs/imports.md): they are written as a data set and NumPy
files, so that everything that is checked, counted and judged there is so here.
"""

import io
import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from pipelines.arrays import BoolArray, Float32Array, UInt8Array
from pipelines.config import EvaluationConfig, build
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import LAST_LAYERS
from pipelines.progress import Progress
from pipelines.requests import HeadOutputs, ImportRequest, Values
from pipelines.schema import BACKGROUND_CHANNEL, Head, Kind
from pipelines.store.runs import Run
from pipelines.store.runs import open_run as _open_run

__all__ = ["Run", "compare", "open_run"]

_IGNORED: Final = 255
_ARRAYS: Final = ".arrays"  # beside the runs: data sets that were made of arrays


def open_run(folder: str | Path) -> Run:
    """A run by its folder, such as "runs/sample". Raises RunError when it is not whole.

    >>> open_run("runs/sample").estimates(metric="dice")  # doctest: +SKIP
    """
    path = Path(folder).expanduser().resolve()
    return _open_run(path.parent, path.name)


def compare(
    truth: ArrayLike,
    *,
    sigmoid: ArrayLike | None = None,
    softmax: ArrayLike | None = None,
    label_sets: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    label_set_channels: Sequence[str] | None = None,
    values: Values = "probabilities",
    valid: ArrayLike | None = None,
    images: ArrayLike | None = None,
    groups: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    name: str = "compared",
    runs: str | Path | None = None,
    replicates: int = 2000,
) -> Run:
    """Measure outputs of a sigmoid, a softmax or both on the same images, and judge them.

    truth: (N, C, H, W) of 0 and 1, which classes each pixel carries; or (N, H, W) whole numbers, the class of each.
    sigmoid: (N, C, H, W). softmax: (N, C, H, W), or (N, 1 + C, H, W) with the background's channel first where pixels
    may carry no label. label_sets: (N, K, H, W), a softmax over the sets named in label_set_channels, such as
    ["background", "cell", "cell+nucleus"]. values: what these numbers are. valid: (N, H, W), False where a pixel does
    not count. images: (N, H, W, 3), bytes or in [0, 1], to look at; they are grey without. groups: of each image, such
    as its patient; images of one group are resampled together. splits: of each image, "val" or "test"; all are test
    without, and then no temperature and no threshold is fitted.

    name: of the run; runs: folder to keep it in, None for a temporary one that goes when the run is no longer used.
    Raises ShapeError and ConfigError for arrays that do not fit each other, DatasetError for values that are not what
    they are said to be.
    """
    counts = None if valid is None else np.asarray(valid, np.bool_)
    labels, kind = _truth(np.asarray(truth), counts)
    names = tuple(classes or (f"class {index}" for index in range(labels.shape[1])))
    if len(names) != labels.shape[1]:
        raise ConfigError(f"truth has {labels.shape[1]} classes, classes names {len(names)}; name each of them")
    given: dict[Head, ArrayLike | None] = {"sigmoid": sigmoid, "softmax": softmax, "softmax-powerset": label_sets}
    outputs = {head: np.asarray(array, np.float32) for head, array in given.items() if array is not None}
    if not outputs:
        raise ConfigError("there is nothing to compare; give sigmoid=, softmax= or label_sets=, or several of them")
    channels: dict[Head, tuple[str, ...]] = {}
    for head, array in outputs.items():
        if array.ndim != 4 or (len(array), *array.shape[2:]) != (len(labels), *labels.shape[2:]):
            raise ShapeError(f"{head} must be (N, K, H, W) like truth {labels.shape}, got {array.shape}")
        channels[head] = _channels(head, array.shape[1], names, label_set_channels)
    if counts is not None and counts.shape != (len(labels), *labels.shape[2:]):
        raise ShapeError(f"valid must be (N, H, W) like truth {labels.shape}, got {counts.shape}")
    for argument, entries in (("groups", groups), ("splits", splits), ("images", images)):
        if entries is not None and len(entries) != len(labels):  # type: ignore[arg-type]
            raise ShapeError(f"{argument} must have one entry an image, {len(labels)}, got {len(entries)}")  # type: ignore[arg-type]
    folder = Path(tempfile.mkdtemp(prefix="sigmoid-or-softmax-")) if runs is None else Path(runs).expanduser().resolve()
    if (folder / name).exists():
        raise ConfigError(f"there is a run {name} in {folder} already; give another name")
    scratch = folder / _ARRAYS / name
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        data = scratch / "data"
        stems = _write_data_set(data, labels, kind, names, counts, images, groups, splits, name=name)
        for head, array in outputs.items():
            (scratch / head).mkdir()
            for stem, output in zip(stems, array, strict=True):
                np.save(scratch / head / f"{stem}.npy", output)
        _import(folder, name, scratch, channels, names, values, splits, replicates)
        for head in outputs:
            shutil.rmtree(scratch / head)
    except BaseException:
        shutil.rmtree(folder if runs is None else scratch, ignore_errors=True)
        raise
    run = open_run(folder / name)
    if runs is None:
        weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)
    return run


def _truth(given: NDArray[Any], valid: BoolArray | None) -> tuple[BoolArray, Kind]:
    """Truth as (N, C, H, W) bool, and its kind, by the pixels that count."""
    if given.ndim == 3 and np.issubdtype(given.dtype, np.integer) and given.size and given.min() >= 0:
        classes = max(int(given.max()) + 1, 2)
        return given[:, None] == np.arange(classes).reshape(1, -1, 1, 1), "exclusive"
    if given.ndim != 4 or not given.size:
        raise ShapeError(
            f"truth must be (N, C, H, W) of 0 and 1, or (N, H, W) whole numbers from 0, got {given.shape} {given.dtype}"
        )
    if not np.isin(given, (0, 1)).all():
        raise ShapeError("truth of shape (N, C, H, W) must hold 0 and 1 only, whether a pixel carries the class")
    labels = given.astype(np.bool_)
    if labels.shape[1] == 1:
        return labels, "binary"
    carried = labels.sum(axis=1)
    if valid is not None and valid.shape == carried.shape:
        carried = carried[valid]
    return labels, "exclusive" if (carried == 1).all() else "overlapping"


def _channels(
    head: Head, count: int, classes: tuple[str, ...], label_set_channels: Sequence[str] | None
) -> tuple[str, ...]:
    """Name of each channel of a head. Raises ConfigError where their number has no meaning."""
    layer = LAST_LAYERS[head]
    if layer.over_label_sets:
        names = tuple(label_set_channels or ())
    elif layer.is_softmax and count == len(classes) + 1:
        names = (BACKGROUND_CHANNEL, *classes)
    else:
        names = classes
    if len(names) != count:
        raise ConfigError(
            f"{head} has {count} channels, {len(names)} are named ({', '.join(names)}); name each of them"
        )
    return names


def _write_data_set(
    folder: Path,
    truth: BoolArray,
    kind: Kind,
    classes: tuple[str, ...],
    valid: BoolArray | None,
    images: ArrayLike | None,
    groups: Sequence[str] | None,
    splits: Sequence[str] | None,
    *,
    name: str,
) -> tuple[str, ...]:
    """A data set folder (docs/data-formats.md) of these arrays; returns the images' names."""
    stems = tuple(f"image-{number:0{len(str(len(truth)))}d}" for number in range(1, len(truth) + 1))
    for place in ("images", "masks", "splits"):
        (folder / place).mkdir(parents=True)
    lines = [f"name = {json.dumps(name)}", f'kind = "{kind}"', f"classes = {json.dumps(classes, ensure_ascii=False)}"]
    if kind != "overlapping":
        lines.append(f"ignore_index = {_IGNORED}")
    (folder / "dataset.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for index, stem in enumerate(stems):
        counts = np.ones(truth.shape[2:], np.bool_) if valid is None else valid[index]
        picture = np.full((*truth.shape[2:], 3), 128, np.uint8) if images is None else _bytes(np.asarray(images)[index])
        _save(folder / "images" / f"{stem}.png", picture)
        if kind == "overlapping":
            for label, layer in zip(classes, truth[index], strict=True):
                _save(folder / "masks" / label / f"{stem}.png", np.where(layer, 255, 0).astype(np.uint8))
            if not counts.all():
                _save(folder / "masks" / "_ignore" / f"{stem}.png", np.where(counts, 0, 255).astype(np.uint8))
        else:
            index_of = truth[index].argmax(axis=0) if kind == "exclusive" else truth[index, 0]
            _save(folder / "masks" / f"{stem}.png", np.where(counts, index_of, _IGNORED).astype(np.uint8))
    of_image = tuple(splits or ("test",) * len(stems))
    for split in ("train", "val", "test"):
        rows = [stem for stem, one in zip(stems, of_image, strict=True) if one == split]
        (folder / "splits" / f"{split}.txt").write_text("".join(f"{row}\n" for row in rows))
    if groups is not None:
        rows = [f"{stem},{json.dumps(str(group))}" for stem, group in zip(stems, groups, strict=True)]
        (folder / "groups.csv").write_text("\n".join(["image,group", *rows]) + "\n", encoding="utf-8")
    return stems


def _bytes(image: NDArray[Any]) -> UInt8Array:
    if image.dtype == np.uint8:
        return image
    scaled: Float32Array = np.clip(image.astype(np.float32), 0, 1) * 255
    return np.rint(scaled).astype(np.uint8)


def _save(path: Path, values: UInt8Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _import(
    runs: Path,
    name: str,
    scratch: Path,
    channels: dict[Head, tuple[str, ...]],
    classes: tuple[str, ...],
    values: Values,
    splits: Sequence[str] | None,
    replicates: int,
) -> None:
    """What `import` does with these files, in silence."""
    from pipelines.execute import execute

    own_background = BACKGROUND_CHANNEL in classes
    named = any(BACKGROUND_CHANNEL in names for names in channels.values())
    measured = tuple(split for split in ("val", "test") if split in (splits or ("test",)))
    request = ImportRequest(
        name=name,
        dataset=str(scratch / "data"),
        heads={
            head: HeadOutputs(path=scratch / head, values=values, classes=names) for head, names in channels.items()
        },
        background=BACKGROUND_CHANNEL if named and not own_background else None,
        seed=0,
        evaluation=build(EvaluationConfig, {"splits": measured, "replicates": replicates}),
    )
    with redirect_stderr(io.StringIO()):
        execute(request, Progress(), runs=runs)
