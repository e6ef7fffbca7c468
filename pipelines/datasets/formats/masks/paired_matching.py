"""Mask files to the pictures they belong to, by the names of files and folders."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.datasets.formats.masks import paired_tree
from pipelines.datasets.formats.masks.paired_tree import IMAGE_WORDS, MASK_WORDS, Entry
from pipelines.datasets.splits import split_word

_SEPARATORS: Final = re.compile(r"[_\-. ]+")
_TIDY: Final = "_-. "


@dataclass(frozen=True)
class Found:
    """A mask with its picture. rest: folders of the mask that the picture has not; item: what else its name says.

    by_folder: a folder is named after the picture, not the mask itself.
    """

    entry: Entry
    image: Entry
    rest: tuple[str, ...]
    item: str
    by_folder: bool


def pair(pictures: Sequence[Entry], masks: Sequence[Entry]) -> tuple[list[Found], list[Path]]:
    """Masks with their pictures; and masks that belong to none."""
    index: dict[str, list[Entry]] = defaultdict(list)
    for picture in pictures:
        index[picture.stem].append(picture)
    stems = frozenset(index)
    for picture in pictures:
        core = _picture_core(picture)
        if core != picture.stem and core not in stems:  # several splits may hold an image_0
            index[core].append(picture)
    folders: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for one in pictures:
        folders[one.parts].append(one)
    by_folder = [_of_folder(one, index, folders) for one in masks]
    if masks and sum(one is not None for one in by_folder) >= 0.9 * len(masks):
        found = by_folder
    else:
        found = [_of_name(one, index) or other for one, other in zip(masks, by_folder, strict=True)]
    alone = [one.path for one, other in zip(masks, found, strict=True) if other is None]
    return [one for one in found if one is not None], alone


def _of_folder(
    mask: Entry, index: Mapping[str, list[Entry]], folders: Mapping[tuple[str, ...], list[Entry]]
) -> Found | None:
    """The picture that a folder of the mask is named after, or the only one beside the folder of its masks."""
    for at in range(len(mask.parts) - 1, -1, -1):
        image = _nearest(mask, index.get(mask.parts[at], ()))
        if image is not None:
            rest = _left(mask.parts[:at] + mask.parts[at + 1 :], image.parts)
            return Found(mask, image, rest, mask.stem, True)
    if _of_name(mask, index) is not None:
        return None
    for length in range(len(mask.parts), 0, -1):
        there = [picture for picture in folders.get(mask.parts[:length], ()) if _may_share_split(mask, picture)]
        if len(there) == 1:
            return Found(mask, there[0], mask.parts[length:], mask.stem, True)
    return None


def _of_name(mask: Entry, index: Mapping[str, list[Entry]]) -> Found | None:
    """The picture that the mask itself is named after."""
    for base, item in _readings(mask.stem):
        image = _nearest(mask, index.get(base, ()))
        if image is not None:
            return Found(mask, image, _left(mask.parts, image.parts), item, False)
    return None


def _readings(stem: str) -> Iterator[tuple[str, str]]:
    """What a mask's name may mean, the likeliest first: the picture's name, and what is said beside it."""
    yield stem, ""
    core = _core(stem, MASK_WORDS)
    if core != stem:
        yield core, ""
    for base, item in cuts(stem):
        yield base, _core(item, MASK_WORDS) if set(paired_tree.words(item)) - MASK_WORDS else ""
    if core != stem:
        yield from cuts(core)


def cuts(text: str) -> Iterator[tuple[str, str]]:
    """Beginnings of a name at its separators, the longest first, and what follows each."""
    for cut in reversed(list(_SEPARATORS.finditer(text))):
        if cut.start() and cut.end() < len(text):
            yield text[: cut.start()], text[cut.end() :]


def _core(stem: str, given: frozenset[str]) -> str:
    """A name without words such as mask at its end or beginning; the whole name if nothing else is in it."""
    left = stem
    while cut := next(cuts(left), None):
        if cut[1].casefold() not in given:
            break
        left = cut[0]
    first = _SEPARATORS.search(left)
    if first is not None and left[: first.start()].casefold() in given:
        left = left[first.end() :]
    joined = re.fullmatch(r"([a-zA-Z]+)(\d+)", left)
    if left == stem and joined is not None and joined[1].casefold() in given:
        left = joined[2]
    return left.strip(_TIDY) or stem


def _picture_core(picture: Entry) -> str:
    """The name of a picture without words such as image, and without its split at the end, as in 21_training."""
    core = _core(picture.stem, IMAGE_WORDS)
    cut = next(cuts(core), None)
    if cut is not None and picture.split is not None and split_word(cut[1].casefold()) == picture.split:
        return cut[0]
    return core


def says_mask(stem: str) -> bool:
    """Whether a name is that of a mask: a_mask, mask_a, a_mask_1."""
    numbered = re.fullmatch(r"(.+?)[_\-. ]+\d+", stem)
    return _core(stem, MASK_WORDS) != stem or (
        numbered is not None and paired_tree.words(numbered[1])[-1:] != paired_tree.words(numbered[1])[:1]
        and paired_tree.words(numbered[1])[-1] in MASK_WORDS
    )  # fmt: skip


def _nearest(mask: Entry, pictures: Iterable[Entry]) -> Entry | None:
    """The picture whose folders all are the mask's too, most of them; else the only one of that name.

    A mask in the folder of one split never belongs to a picture of another. One outside of all splits belongs to no
    picture where several splits have one of that name.
    """
    candidates = [one for one in pictures if _may_share_split(mask, one)]
    if mask.split is not None and any(one.split == mask.split for one in candidates):
        candidates = [one for one in candidates if one.split == mask.split]
    inside = [one for one in candidates if _within(one.parts, mask.parts)]
    inside = inside or [one for one in candidates if _within(one.own, mask.parts)]
    if inside:
        longest = max(len(one.parts) for one in inside)
        closest = [one for one in inside if len(one.parts) == longest]
        return closest[0] if len({one.split for one in closest}) == 1 else None
    return candidates[0] if len(candidates) == 1 else None


def _within(parts: Sequence[str], whole: Sequence[str]) -> bool:
    left = iter(whole)
    return all(part in left for part in parts)


def _left(parts: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Folders of a mask that its picture has not and that say more than a split."""
    left = Counter(taken)
    kept = []
    for part in parts:
        if left[part]:
            left[part] -= 1
        elif not all(map(split_word, paired_tree.words(part))):
            kept.append(part)
    return tuple(kept)


def _may_share_split(mask: Entry, picture: Entry) -> bool:
    return mask.split is None or picture.split is None or mask.split == picture.split
