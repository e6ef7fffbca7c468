"""The state of a training to one file and back: whole or not there, and refused when the settings differ."""

import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch

from pipelines.config import TrainingConfig
from pipelines.datasets.dataset import Dataset
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.models import Normalisation
from pipelines.schema import Split

_VERSION: Final = 1
_OF_PYTHON: Final = (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, MemoryError)
_DAMAGE: Final = (*_OF_PYTHON, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error)
_SPLITS: Final[tuple[Split, ...]] = ("train", "val")


def save_checkpoint(path: Path, state: Mapping[str, Any], *, settings: Mapping[str, str]) -> None:
    """Replace the checkpoint: a new file is written, synced and renamed, so that a kill leaves the old or the new one.

    state: tensors, numbers, strings, lists and dicts. settings: what a resumed training must agree on.
    Raises RunError when it cannot be written, on a full disk for example; the old one is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            torch.save({"version": _VERSION, "settings": dict(settings), "state": dict(state)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch.save says RuntimeError when the disk is full
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"checkpoint {path} could not be written ({_first_line(error)}); "
            "free some space and run again with --resume"
        ) from None


def load_checkpoint(path: Path, *, settings: Mapping[str, str]) -> dict[str, Any] | None:
    """The saved state, tensors on the CPU; None when there is no checkpoint.

    Raises RunError when the file is damaged or was written with other settings.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of {broken} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, saved, state = content["version"], content["settings"], content["state"]
    except _DAMAGE as error:
        raise RunError(
            f"checkpoint {path} is damaged ({_first_line(error)}); delete it to train this seed from the start"
        ) from None
    if version != _VERSION:
        raise RunError(
            f"checkpoint {path} has version {version}, this program reads {_VERSION}; delete it to start anew"
        )
    for name in sorted(settings.keys() | saved.keys()):
        if settings.get(name) != saved.get(name):
            raise RunError(
                f"checkpoint {path} was written with {name} {saved.get(name)}, this run has {settings.get(name)}; "
                "resume with the same settings, or delete it to start anew"
            )
    return dict(state)


def training_settings(
    dataset: Dataset, specs: Sequence[HeadSpec], config: TrainingConfig, *, seed: int, normalisation: Normalisation
) -> dict[str, str]:
    """What an interrupted and a resumed training must agree on, each as text that a message can show."""
    free = {"seeds", "workers", "checkpoint_seconds", "device", "precision"}
    settings = {name: json.dumps(value) for name, value in config.model_dump(exclude=free).items()}
    settings |= {f"head {spec.head}": spec.model_dump_json() for spec in specs}
    settings |= {"seed": str(seed), "normalisation": json.dumps(normalisation)}
    for split in _SPLITS:
        names = "\n".join(dataset.images(split))
        settings[f"{split} images"] = sha256(names.encode()).hexdigest()[:16]
    return settings


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
