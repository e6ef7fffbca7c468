"""A path to the kind of model that lies there: one entry a kind, the safe ones first."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.errors import ModelError
from pipelines.imports.models.wire import one_line
from pipelines.schema import Head


@dataclass(frozen=True)
class Kind:
    """One kind of model file. runs_code: opening or running it can run any code of whoever made the file."""

    name: str
    title: str
    runs_code: bool
    recognise: Callable[[Path], bool]


def _own(path: Path) -> bool:
    return (path / "head.json").is_file()


def _smp(path: Path) -> bool:
    return (path / "config.json").is_file() and not _own(path) and not _run(path)


def _run(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx" and path.is_file()


def _torchscript(path: Path) -> bool:
    return any(re.search(r"(^|/)code/", name) for name in _members(path))


def _state_dict(path: Path) -> bool:
    return _pytorch(path) and not _torchscript(path)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []


def _pytorch(path: Path) -> bool:
    """Whether a file begins as a zip or a pickle does; nothing more of it is read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


KINDS: Final = (
    Kind("own", "network of one of our runs", False, _own),
    Kind("smp", "folder of save_pretrained of segmentation-models-pytorch", False, _smp),
    Kind("onnx", "ONNX", False, _onnx),
    Kind("torchscript", "TorchScript", True, _torchscript),
    Kind("state-dict", "pickled state dict", True, _state_dict),
)


def recognise(path: Path, *, trust: bool = False) -> Kind:
    """The kind of model at a path.

    trust: whether files that can run code may be opened. Without it such a file is refused by its first four bytes.
    Raises ModelError when there is none, it is of no known kind, or it needs trust.
    """
    name = one_line(path.name)
    try:
        if not path.exists():
            raise ModelError(f"MODEL-FILE: there is no {one_line(str(path))}; give the path of a model")
        return _recognise(path, name, trust=trust)
    except (OSError, ValueError) as error:  # no permission, a name that is too long or holds a zero byte
        raise ModelError(f"MODEL-FILE: {name} cannot be read ({one_line(str(error))}); give another path") from None


def _recognise(path: Path, name: str, *, trust: bool) -> Kind:
    for kind in KINDS:
        if not kind.runs_code and kind.recognise(path):
            return kind
    if path.suffix.lower() == ".safetensors" and path.is_file():
        raise ModelError(
            f"MODEL-KIND: {name} is weights without a network; give the folder that holds them with config.json"
        )
    if _pytorch(path):
        if not trust:
            raise ModelError(
                f"MODEL-TRUST: {name} is a zip or a pickle, as PyTorch writes TorchScript and state dicts; it can run "
                "any code of whoever made it; export the network as ONNX or with save_pretrained (and unpack that "
                "folder). Only if you trust its maker: import it on the command line with --trust"
            )
        return next(kind for kind in KINDS if kind.runs_code and kind.recognise(path))
    if _run(path):
        raise ModelError(
            f"MODEL-KIND: {name} is a run that holds no networks, only their outputs; name a run whose networks were "
            "trained here"
        )
    raise ModelError(
        f"MODEL-KIND: {name} is no model of a known kind; known are {', '.join(kind.title for kind in KINDS)}"
    )


def seeds_of(path: Path, head: Head) -> dict[int | None, Path]:
    """The models of a head under a path by seed: a run's folder, folders seed=N, or the path itself under None.

    In a folder seed=N lies head=H of a run, one file, or what save_pretrained wrote.
    Raises ModelError when a folder has nothing for this head.
    """
    try:
        return _seeds_of(path, head)
    except (OSError, ValueError) as error:  # no permission, a name that is too long or holds a zero byte
        raise ModelError(
            f"MODEL-FILE: {one_line(path.name)} cannot be read ({one_line(str(error))}); give another path"
        ) from None


def _seeds_of(path: Path, head: Head) -> dict[int | None, Path]:
    folder = path / "models" if (path / "models").is_dir() else path
    places = {int(place.name[5:]): place for place in folder.glob("seed=*") if place.name[5:].isdecimal()}
    if not places:
        return {None: _of_head(path, head)}
    return {seed: _of_head(place, head) for seed, place in sorted(places.items())}


def _of_head(place: Path, head: Head) -> Path:
    if any(place.glob("head=*")):
        if not (place / f"head={head}").is_dir():
            raise ModelError(
                f"MODEL-FILE: {one_line(place.name)} has no network with the head {head}; leave it out, or name "
                "another run"
            )
        return place / f"head={head}"
    inside = [one for one in place.iterdir() if not one.name.startswith(".")] if place.is_dir() else []
    return inside[0] if len(inside) == 1 and inside[0].is_file() else place
