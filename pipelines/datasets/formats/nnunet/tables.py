"""nnU-Net's dataset.json and splits_final.json, of version 2 or 1, to labels, regions, channels and lists of cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.datasets.base import Finding
from pipelines.datasets.formats import json_file
from pipelines.datasets.source import Label, Role
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

MAX_VALUE: Final = 2**31 - 1
MAX_VALUES: Final = 16_384  # named by all labels together


@dataclass(frozen=True)
class Tables:
    """What dataset.json says. values: of each label, several for a region. order: labels, a later one wins over an
    earlier one where regions become one label a pixel; () if nothing is said. ending: of file names, None in version 1.

    listed: file names of the label maps that version 1 lists for training. entries: case to images and label map, as
    version 2 may give them instead of folders.
    """

    labels: tuple[Label, ...]
    values: tuple[tuple[int, ...], ...]
    order: tuple[str, ...]
    ending: str | None
    listed: tuple[str, ...]
    entries: Mapping[str, tuple[tuple[str, ...], str]]


def read_tables(path: Path, findings: list[Finding]) -> Tables:
    """Read dataset.json. Raises DatasetError, one line, where it does not say what its values mean."""
    said = json_file.read_object(path)
    given = said.get("labels")
    if not isinstance(given, dict) or not given:
        raise DatasetError('dataset.json has no labels; add them, such as "labels": {"background": 0, "tumour": 1}')
    if len(given) > MAX_LABELS:
        raise DatasetError(f"dataset.json has {len(given):,} labels, allowed are {MAX_LABELS:,}; leave some out")
    pairs = _version_1(given) if _is_version_1(given) else [(name, _values(name, one)) for name, one in given.items()]
    if sum(len(values) for _, values in pairs) > MAX_VALUES:
        raise DatasetError(f"the labels of dataset.json name more than {MAX_VALUES:,} values; leave some out")
    names = _distinct([name for name, _ in pairs])
    labels = tuple(Label(name, role=_role(name, values)) for name, (_, values) in zip(names, pairs, strict=True))
    found = Tables(
        labels, tuple(values for _, values in pairs), _order(said, labels, findings), _ending(said),
        _listed(said.get("training")), _entries(said.get("dataset")),
    )  # fmt: skip
    if all(label.role != "class" for label in labels):
        raise DatasetError("dataset.json has no label besides background and ignore; add one")
    return found


def read_fold(path: Path, fold: int) -> dict[str, tuple[str, ...]]:
    """Cases of train and val of one fold of splits_final.json. Raises DatasetError, one line."""
    folds = _folds(path)
    if fold >= len(folds):
        raise DatasetError(f"splits_final.json has {len(folds)} folds, asked for is fold {fold}; they count from 0")
    one = folds[fold]
    lists = {split: one.get(split) if isinstance(one, dict) else None for split in ("train", "val")}
    for some in lists.values():
        if not isinstance(some, list) or not all(isinstance(case, str) for case in some):
            raise DatasetError(f"fold {fold} of splits_final.json has no lists of cases train and val; write it again")
    return {split: tuple(dict.fromkeys(some)) for split, some in lists.items() if some}


def _folds(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > json_file.MAX_VALUE:
            raise DatasetError(
                f"{path.name} is larger than {json_file.MAX_VALUE:,} bytes; it needs lists of cases only"
            )
        found = json_file.parse(path.read_bytes(), path)
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read ({error.strerror}); check that it exists") from None
    if not isinstance(found, list):
        raise DatasetError(f"{path.name} is no list of folds; write it again or remove it")
    return found


def _is_version_1(given: dict[str, Any]) -> bool:
    """Version 1 gives a name for each value, version 2 a value for each name."""
    return all(isinstance(one, str) for one in given.values())


def _version_1(given: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    for value, name in given.items():
        if not value.isascii() or not value.isdecimal() or int(value[:12]) > MAX_VALUE or not 0 < len(name) <= 500:
            raise DatasetError(
                f"dataset.json has the label {value[:30]!r}: {name[:30]!r}, expected a whole number and its name; "
                "correct it"
            )
    return [(name, (int(value),)) for value, name in given.items()]


def _values(name: str, given: Any) -> tuple[int, ...]:
    some = given if isinstance(given, list) else [given]
    whole = all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= MAX_VALUE for one in some)
    if not some or not whole or not 0 < len(name) <= 500:
        raise DatasetError(
            f"dataset.json gives the label {name[:50]!r} no value; expected a whole number, or a list of them for a "
            "region"
        )
    return tuple(dict.fromkeys(some))


def _distinct(names: list[str]) -> list[str]:
    taken: set[str] = set()
    for index, name in enumerate(names):
        fresh, number = name, 2
        while fresh in taken:
            fresh, number = f"{name} ({number})", number + 1
        taken.add(fresh)
        names[index] = fresh
    return names


def _role(name: str, values: tuple[int, ...]) -> Role:
    if name == "ignore":
        return "ignore"
    return "background" if name.casefold() == "background" or values == (0,) else "class"


def _order(said: dict[str, Any], labels: tuple[Label, ...], findings: list[Finding]) -> tuple[str, ...]:
    """regions_class_order holds the value that each region but the background writes, in the order of labels."""
    given = said.get("regions_class_order")
    regions = [label.name for label in labels if label.role == "class"]
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) != len(regions):
        problem = "regions_class_order of dataset.json does not fit its regions and is passed over"
        findings.append(Finding(code="REGION-ORDER", severity="warning", message=problem))
        return ()
    return tuple(regions)


def _ending(said: dict[str, Any]) -> str | None:
    given = said.get("file_ending")
    if given is None:
        return None
    if not isinstance(given, str) or not given.startswith(".") or not 1 < len(given) <= 20 or not given.isprintable():
        raise DatasetError(f'dataset.json has the file_ending {str(given)[:30]!r}, expected one such as ".nii.gz"')
    return given


def _listed(given: Any) -> tuple[str, ...]:
    rows = given if isinstance(given, list) else []
    paths = [row.get("label") for row in rows if isinstance(row, dict)]
    return tuple(path.replace("\\", "/").rpartition("/")[2] for path in paths if isinstance(path, str))


def _entries(given: Any) -> dict[str, tuple[tuple[str, ...], str]]:
    found = {}
    for case, entry in given.items() if isinstance(given, dict) else ():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if (
            not isinstance(images, list)
            or not all(isinstance(one, str) for one in images)
            or not isinstance(label, str)
        ):
            raise DatasetError(f"dataset.json gives the case {case[:50]!r} no images and label; correct it")
        found[case] = (tuple(images), label)
    return found
