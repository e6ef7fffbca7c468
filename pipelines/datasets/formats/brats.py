"""BraTS: a folder a case, with a volume of each of four MR sequences and a label map of tumour parts.

Names are those of 2017 to 2021 (case_flair, case_t1, case_t1ce, case_t2, case_seg) or of 2023 on (case-t2f, case-t1n,
case-t1c, case-t2w, case-seg). Up to 2021 the enhancing tumour is 4, from 2023 on it is 3.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Format, Label
from pipelines.datasets.formats import nifti, volumes
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.sentences import count_of, first_of

# Sequences in the order of the bands: their words in file names.
_SEQUENCES: Final = {
    "T1": ("t1", "t1n"),
    "T1 contrast": ("t1ce", "t1gd", "t1c"),
    "T2": ("t2", "t2w"),
    "FLAIR": ("flair", "t2f"),
}
_ROLES: Final = {word: name for name, words in _SEQUENCES.items() for word in words} | {"seg": "seg", "segm": "seg"}
_NAME: Final = re.compile(rf"(?:(?P<case>.+)[_.-])?(?P<role>{'|'.join(_ROLES)})", re.IGNORECASE)
_LOOKED_AT: Final = 400  # files, to recognise a folder
_PEEKED: Final = 8  # label maps, to tell which values there are

_NECROTIC, _OEDEMA, _ENHANCING = "necrotic core", "oedema", "enhancing tumour"
_NON_ENHANCING, _CYST, _CAVITY = "non-enhancing tumour", "cystic component", "resection cavity"


def _recognise(root: Path) -> str | None:
    for number, (folder, names) in enumerate(listing.tree(root, widest=20)):
        found = {role for role, _ in _roles(names).values()}
        if "seg" in found and len(found) > 2:
            place = "/".join(folder) or root.name
            return f"{place} holds a label map (seg) beside {first_of(sorted(found - {'seg'}), 4)}"
        if number > _LOOKED_AT:
            break
    return None


def _roles(names: list[str]) -> dict[str, tuple[str, str]]:
    """Of the volumes among file names: the sequence, or seg, and the case that each is called after."""
    found = {}
    for name in names:
        ending = next((known for known in nifti.VOLUMES if name.lower().endswith(known)), None)
        match = None if ending is None else _NAME.fullmatch(name[: -len(ending)])
        if match is not None:
            found[name] = (_ROLES[match["role"].lower()], match["case"] or "")
    return found


class BratsSource(volumes.CaseSource):
    """Slices of the cases that have a label map; sequences are bands."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        kind = choice(options, "labels", ["regions", "parts"]) or "regions"
        findings: list[Finding] = []
        cases = list(self._cases(root, findings))
        parts = _parts(_values(cases), {case.channels[0][0].name.lower() for case in cases})
        named = ", ".join(f"{value} {name}" for value, name in parts.items())
        findings.append(Finding.note("BRATS-VALUES", f"the values of the label maps are read as {named}"))
        rows = _regions(parts) if kind == "regions" else {name: (value,) for value, name in parts.items()}
        labels = (Label("background", role="background"), *map(Label, rows))
        by_value = ValueLabels(labels, ((0,), *rows.values()), table="the option labels")
        self.priority = tuple(reversed(rows)) if kind == "regions" else ()  # the innermost first
        super().__init__(root, options, cases, by_value, channels=tuple(_SEQUENCES), findings=findings)

    @staticmethod
    def _cases(root: Path, findings: list[Finding]) -> Iterator[volumes.Case]:
        seen: set[str] = set()
        bare: list[str] = []
        for folder, names in listing.tree(root):
            by_case: dict[str, dict[str, Path]] = defaultdict(dict)
            roles = _roles(names)
            alone = len({case for role, case in roles.values() if role != "seg"}) == 1  # one has a foreign label map
            for name, (role, case) in roles.items():
                owner = next(iter(case for other, case in roles.values() if other != "seg")) if alone else case
                by_case[owner or (folder[-1] if folder else root.name)][role] = root.joinpath(*folder, name)
            for case, files in sorted(by_case.items()):
                absent = [name for name in _SEQUENCES if name not in files]
                if "seg" not in files:
                    bare.append(case)
                elif absent:
                    problem = f"case {case} is left out: it has no volume of {', '.join(absent)}; put it there"
                    findings.append(Finding.error("CASE-UNREADABLE", problem))
                elif case in seen:
                    findings.append(Finding.error("NAME-TWICE", f"the case {case} is there twice; keep one"))
                else:
                    seen.add(case)
                    found = volumes.read_case(case, [files[name] for name in _SEQUENCES], files["seg"], findings)
                    if found is not None:
                        yield found
        if bare:
            problem = f"left out, without a label map (seg): {count_of(len(bare), 'case')}, such as {bare[0]}"
            findings.append(Finding.note("CASE-UNLABELLED", problem))


def _values(cases: list[volumes.Case]) -> set[int]:
    """Values of a few label maps, spread over the cases; those that cannot be read are told by the check."""
    found: set[int] = set()
    for case in cases[:: max(1, len(cases) // _PEEKED)]:
        try:
            for index in range(case.slices):
                found |= set(np.unique(nifti.read_values(case.label, index)).tolist())
        except DatasetError:
            continue
    return found


def _parts(values: set[int], names: set[str]) -> dict[int, str]:
    """What each value means, by the values that there are and the names of the T1 volumes.

    >>> _parts({0, 1, 2, 4}, {"brats20_001_t1.nii"})[4], _parts({0, 1, 2, 3}, {"brats-gli-0-t1n.nii.gz"})[3]
    ('enhancing tumour', 'enhancing tumour')
    """
    recent = all("t1n" in name for name in names)
    if recent and 4 in values and any("-ped-" in name for name in names):  # children's tumours, 2024
        return {1: _ENHANCING, 2: _NON_ENHANCING, 3: _CYST, 4: _OEDEMA}
    parts = {1: _NECROTIC, 2: _OEDEMA}
    if recent or (3 in values and 4 not in values):  # others number 4 as 3 too, to have no gap
        return parts | {3: _ENHANCING} | ({4: _CAVITY} if 4 in values else {})  # after surgery, 2024
    return parts | ({3: _NON_ENHANCING} if 3 in values else {}) | {4: _ENHANCING}  # up to 2016 with 3


def _regions(parts: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """The regions that BraTS scores, from the outermost to the innermost, and the cavity beside them."""
    core = tuple(value for value, name in sorted(parts.items()) if name not in (_OEDEMA, _CAVITY))
    at = {name: value for value, name in parts.items()}
    regions = {"whole tumour": tuple(sorted((*core, at[_OEDEMA]))), "tumour core": core, _ENHANCING: (at[_ENHANCING],)}
    return regions | ({_CAVITY: (at[_CAVITY],)} if _CAVITY in at else {})


FORMAT = Format(
    "BraTS: a folder a case with volumes of four MR sequences and a label map",
    _recognise,
    BratsSource,
    {
        "labels": "regions (whole tumour, tumour core, enhancing tumour, which are nested) or parts (one a pixel); "
        "regions if nothing is said",
        **volumes.OPTIONS,
    },
)
