"""Formats of outputs in files: one file a format, one registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.channels import Values
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError
from pipelines.imports.readers import arrays, maps, nnunet, parquet, tensors, torch_files
from pipelines.imports.sources import Files, OutputSource, Said, gather
from pipelines.schema import Head
from pipelines.sentences import one_line


@dataclass(frozen=True)
class Format:
    """One way to lay out outputs. title: in a few words; recognise: whether files are meant to be in it; open: reads
    names and tables, no pixels. values: what its numbers are in any case; names_channels: whether the files name them.
    """

    title: str
    recognise: Callable[[Files], bool]
    open: Callable[[Files, Said, Dataset], OutputSource]
    values: Values | None = None
    names_channels: bool = False


# In the order of recognition: nnU-Net's own export lies beside images and is .npz too.
FORMATS: Final[dict[str, Format]] = {
    "nnunet": Format("nnU-Net's exported .npz", nnunet.recognise, nnunet.open_nnunet, values="probabilities"),
    "parquet": Format(
        "predictions parquet", parquet.recognise, parquet.open_parquet, values="logits", names_channels=True
    ),
    "safetensors": Format("safetensors", tensors.recognise, tensors.open_tensors),
    "torch": Format("tensors of torch.save", torch_files.recognise, torch_files.open_torch),
    "arrays": Format("NumPy .npy and .npz", arrays.recognise, arrays.open_arrays),
    "maps": Format(
        "a grey image a class, <class>/<image>.png or .tif", maps.recognise, maps.open_maps, names_channels=True
    ),
}
_ALONE: Final = ("nnunet",)  # recognised by what is inside; what lies beside does not matter


@dataclass(frozen=True)
class Recognised:
    """One head's files. path: where they are; format: a name in FORMATS; files: by seed; in_folders: called seed=N."""

    path: Path
    format: str
    files: Mapping[int, Files]
    in_folders: bool


@dataclass(frozen=True)
class Opened:
    """One head's outputs. format: in which format they were read; path: where they are."""

    path: Path
    format: str
    sources: Mapping[int, OutputSource]


def recognise_outputs(path: Path, head: Head, *, format: str | None = None, seed: int | None = None) -> Recognised:
    """Find the files of one head, of every seed there is, and the format that they are in.

    Files in folders called seed=N are of that seed, all others of `seed`, 0 if none is given.
    format: a name in FORMATS; None takes the one that recognises the files. Raises ConfigError or DatasetError.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"there is no format {format!r} of outputs; available formats are {', '.join(FORMATS)}")
    place = path.expanduser().resolve()
    if (place / "manifest.json").is_file() and (place / "predictions").is_dir():
        place = place / "predictions"  # the folder of a run
    by_seed = gather(place, head)
    numbered = {number: files for number, files in by_seed.items() if number is not None}
    loose = by_seed.get(None, {})
    if numbered and loose:
        raise ConfigError(f"{one_line(path.name)} holds files beside its folders seed=N; put them into one, or away")
    if seed is not None and numbered:
        raise ConfigError(f"{one_line(path.name)} holds folders seed=N, so --seed cannot be given; leave it out")
    chosen: dict[int, Files] = dict(sorted(numbered.items())) if numbered else {seed or 0: loose}
    names = {format or _recognised(files, head) for files in chosen.values()}
    if len(names) != 1:
        raise ConfigError(f"the seeds of {head} are in different formats; choose one with --format")
    return Recognised(place, names.pop(), chosen, bool(numbered))


def open_outputs(
    path: Path, said: Said, dataset: Dataset, *, format: str | None = None, seed: int | None = None
) -> Opened:
    """Open the outputs of one head, of every seed there is, as `recognise_outputs` finds them.

    Raises ConfigError, DatasetError or ShapeError.
    """
    found = recognise_outputs(path, said.head, format=format, seed=seed)
    sources: dict[int, OutputSource] = {}
    try:
        for number, files in found.files.items():
            sources[number] = FORMATS[found.format].open(files, said, dataset)
    except BaseException:
        for source in sources.values():
            source.close()
        raise
    return Opened(found.path, found.format, sources)


def _recognised(files: Files, head: Head) -> str:
    found = [name for name, form in FORMATS.items() if form.recognise(files)]
    if not found:
        example = one_line(next(iter(files)))
        raise ConfigError(
            f"the outputs of {head} ({example}, …) are in no known format; available formats are {', '.join(FORMATS)}"
        )
    if len(found) > 1 and found[0] not in _ALONE:
        raise ConfigError(f"the outputs of {head} could be {' or '.join(found)}; choose with --format")
    return found[0]
