"""Image files of a folder to pictures and the masks that belong to each, whatever the layout.

1. List the image files, and give each its part, picture or mask: by the options, by words in folder names, by words in
   file names.
2. Propose for each mask the picture that a folder or its own name says; `roles` chooses which masks are the truth.
3. Tell the layout: one mask a picture, one a class, or several a class.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pipelines.datasets import listing
from pipelines.datasets import splits as split_lists
from pipelines.datasets.base import Finding, split_word
from pipelines.datasets.formats.masks import names, roles
from pipelines.datasets.formats.masks.names import Part, role_named
from pipelines.datasets.formats.masks.reading import has_head
from pipelines.datasets.formats.masks.roles import File, Pair, choose_truth, doubts
from pipelines.datasets.imageio import IMAGE_SUFFIXES
from pipelines.datasets.listing import MAX_FILES
from pipelines.errors import DatasetError
from pipelines.schema import Split
from pipelines.sentences import printable

Layout: TypeAlias = Literal["one", "classes", "instances"]

OPTIONS: Final[dict[str, str]] = {
    "images": "the folder of the pictures, from the top, such as data/rgb; or with masks a pattern of their paths or "
    "names, such as *_S2.tif, where * is what pictures and masks share; else told by names",
    "masks": "the folder of the masks, from the top, or a pattern such as labels/*_label.tif; else told by names",
}
_COMPARED: Final = 6  # folders, or endings of names, that may be those of pictures and of masks
_SAMPLE_FILES: Final = 60
_SAMPLE_FOLDERS: Final = 40
_SAMPLE_DEEP: Final = 400  # folders in all
_LOSSY: Final = (".jpg", ".jpeg", ".webp")
_NUMBER: Final = re.compile(r"(?:[a-zA-Z]*(?:mask|object|obj|instance|inst|cell|nucleus|id|n)s?)?[_\-. (]*\d+\)?")


@dataclass(frozen=True)
class Mask:
    """A mask file. label: the class that its folders or name tell, "" if none; item: what else its name says."""

    path: Path
    label: str
    item: str = ""


@dataclass(frozen=True)
class Pairing:
    """Pictures and their masks. layout: one mask a picture, one a class, or several a class; None where none fits.

    alone: masks without a picture. bare: pictures without a mask. groups: picture to the folder of its video or case.
    fields: picture to the mask that marks its field of view. soft: by picture, masks that say how probable classes are.
    observer: who made the masks; others: by who made them, those of other observers as `masks`.
    """

    images: Mapping[str, Path] = field(default_factory=dict)
    masks: Mapping[str, tuple[Mask, ...]] = field(default_factory=dict)
    layout: Layout | None = None
    alone: tuple[Path, ...] = ()
    bare: tuple[str, ...] = ()
    splits: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Path] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    soft: Mapping[str, tuple[Mask, ...]] = field(default_factory=dict)
    observer: str = roles.FIRST
    others: Mapping[str, Mapping[str, tuple[Mask, ...]]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that folders and names tell, sorted."""
        return tuple(sorted({mask.label for masks in self.masks.values() for mask in masks}))

    @property
    def mostly_paired(self) -> bool:
        """Whether pictures and masks belong together for the most part."""
        return bool(self.masks) and len(self.alone) <= sum(len(masks) for masks in self.masks.values())

    def first_masks(self, count: int = 4) -> list[Path]:
        """Some masks of different images, spread over the set; none that is damaged if others are not."""
        paths = [self.masks[name][0].path for name in self.masks]
        spread = paths[:: max(1, len(paths) // count)][:count]
        rest = (path for path in paths if path not in spread)
        return list(islice(filter(has_head, chain(spread, rest)), count)) or spread


def match(root: Path, options: Mapping[str, str], *, sample: bool = False) -> Pairing:
    """Pair pictures with masks by folders and names.

    sample: look at the first files of each folder only, to recognise a layout.
    Raises DatasetError when a folder named in the options is not there, or there are too many files.
    """
    there = _list_files(root, sample=sample)
    files = _give_parts(root, there, options)
    pictures = [file for file in files if file.part == "image"]
    pairs, alone = _propose(pictures, [file for file in files if file.part == "mask"])
    told = choose_truth(root, pairs, options)
    findings = list(told.findings)
    images = listing.by_name([picture.path for picture in pictures], root, findings)
    name_of = {path: name for name, path in images.items()}
    pairs = [pair for pair in told.truth if pair.image.path in name_of]
    by_folder = {name_of[pair.image.path]: pair.mask.split for pair in pairs if pair.mask.split is not None}
    by_folder |= {
        name_of[file.path]: file.split for file in pictures if file.split is not None and file.path in name_of
    }
    splits = split_lists.given_splits(root, images, findings, by_folder)
    layout, masks = _layout(pairs, name_of)
    if not sample:
        findings += _unread(root, there, files)
        if layout in ("classes", "instances") and not set(roles.OPTIONS) & set(options):
            findings += doubts(root, pairs, layout)
    if layout == "one":
        masks = _one_each(root, masks, findings)

    def by_image(pairs: Iterable[Pair]) -> dict[str, tuple[Mask, ...]]:
        """Masks of the same classes beside those of the truth, in its layout."""
        several: dict[str, list[Mask]] = defaultdict(list)
        for pair in pairs:
            if pair.image.path in name_of:
                label = {"classes": pair.label, "instances": "/".join(pair.rest)}.get(layout or "", "")
                several[name_of[pair.image.path]].append(Mask(pair.mask.path, label))
        several = _one_each(root, several, findings) if layout == "one" else several
        return {name: tuple(several[name]) for name in images if name in several}

    return Pairing(
        images=images,
        masks={name: tuple(masks[name]) for name in images if name in masks},
        layout=layout,
        alone=tuple(alone),
        bare=tuple(name for name in images if name not in masks),
        splits=splits,
        groups=_groups(pictures, name_of),
        fields={name_of[path]: mark for path, mark in told.fields.items() if path in name_of},
        soft=by_image(told.soft),
        observer=told.observer,
        others={who: by_image(pairs) for who, pairs in told.others.items()},
        findings=tuple(findings),
    )


def why_unpaired(root: Path) -> str | None:
    """Why picture files do not make pictures and masks, and which options would; None where there are none."""
    files = _list_files(root, sample=True)
    by_folder: dict[str, set[str]] = defaultdict(set)
    by_ending: dict[str, set[str]] = defaultdict(set)
    for file in files:
        by_folder["/".join(file.folders)].add(file.stem)
        rest, _ = names.last_word(file.stem)
        if rest:
            by_ending[f"{file.stem[len(rest) :]}{file.path.suffix}"].add(rest)
    alike = ((by_folder, "hold files of the same names", ""), (by_ending, "follow the same names", "*"))
    for groups, how, star in alike:
        largest = sorted(groups, key=lambda name: -len(groups[name]))[:_COMPARED]
        masks_named = {name for name in largest if names.says_mask_within(name.partition(".")[0].strip("_-. ") or name)}
        pairs = combinations(sorted(largest, key=lambda name: (name in masks_named, name)), 2)
        for first, second in sorted(pairs, key=lambda pair: (pair[1] not in masks_named, pair[0] in masks_named)):
            shared = len(groups[first] & groups[second])
            if first and second and shared > 1 and shared >= 0.9 * max(len(groups[first]), len(groups[second])):
                return (
                    f"{first} and {second} {how}; if the second are masks, say images={star}{first} and "
                    f"masks={star}{second} with the name of the format"
                )
    masks = [file for file in files if file.part == "mask" or names.says_mask(file.stem)]
    pictures = [file for file in files if file not in masks]
    if masks and pictures:
        first, second = (listing.shown(some[0].path, root) for some in (masks, pictures))
        return f"masks, such as {first}, are not called as a picture is, such as {second}"
    missing = "no other picture files" if masks else "no file or folder says mask"
    return f"there are picture files, such as {listing.shown(files[0].path, root)}, but {missing}" if files else None


# 1. Files and their parts --------------------------------------------------------------------------------------------


def _list_files(root: Path, *, sample: bool) -> list[File]:
    """Image files under a folder in the order of names, with the part that their folders give them.

    sample: only the first files of a folder and the first folders in one. Raises DatasetError for too many.
    """
    files: list[File] = []
    for seen, (folder, there) in enumerate(listing.tree(root, widest=_SAMPLE_FOLDERS if sample else None)):
        if sample and seen >= _SAMPLE_DEEP:
            break
        _check_count(root, seen, "folders")
        here = root.joinpath(*folder)
        folders = tuple(map(listing.composed, folder))
        about = names.read_folder(folders)
        if about is None:
            continue
        pictures = [name for name in there if name.lower().endswith(IMAGE_SUFFIXES)]
        for name in pictures[:_SAMPLE_FILES] if sample else pictures:
            path = here / name
            files.append(File(path, folders, about.parts, about.own, listing.stem(path), about.part, about.split))
        _check_count(root, len(files), "images")
    return files


def _check_count(root: Path, count: int, what: str) -> None:
    if count > MAX_FILES:
        name = printable(root.name[:60])
        raise DatasetError(f"{name} holds more than {MAX_FILES:,} {what}; give the folder of one data set")


def _give_parts(root: Path, files: Sequence[File], options: Mapping[str, str]) -> list[File]:
    """Give every file its part: by the options, else by words in folder names, else by words in file names."""
    if any("*" in options.get(option, "") for option in OPTIONS):
        return _parts_by_patterns(root, files, options)
    marks = options.get("field_of_view", "")
    files = [
        replace(file, part="mask") if not file.part and (_is_field(file, marks) or "observer" in _roles(file)) else file
        for file in files
    ]
    if options.get("images") or options.get("masks"):
        return _parts_by_options(root, files, options)
    parts = {file.part for file in files}
    if {"image", "mask"} <= parts:
        return [file for file in files if file.part]
    if "mask" in parts and "" in parts:
        return [file if file.part else replace(file, part="image") for file in files]
    if "image" in parts and "" in parts:
        pictures = [file for file in files if file.part]
        others = [replace(file, part="mask") for file in files if not file.part]
        wanted = {pair.mask.path for pair in _propose(pictures, others)[0]}
        if wanted:
            return [
                file if file.part else replace(file, part="mask")
                for file in files
                if file.part == "image" or file.path in wanted
            ]
    return _parts_by_file_names(files)


def _roles(file: File) -> set[str]:
    """What the names of folders say that masks are beside the truth."""
    return {named.role for name in file.folders if (named := role_named(name)) is not None}


def _is_field(file: File, option: str) -> bool:
    """Whether a folder is one of fields of view, by the option or by its name."""
    folders = "/".join(file.folders).casefold()
    wanted = option.strip().strip("/").casefold()
    return "field" in _roles(file) or (bool(wanted) and (wanted == folders or wanted in folders.split("/")))


def _parts_by_options(root: Path, files: Sequence[File], options: Mapping[str, str]) -> list[File]:
    pictures, masks = (_folder_option(root, option, options.get(option, "")) for option in ("images", "masks"))
    part_of_pictures = "image" if any(file.part == "image" for file in files) else ""
    parted = []
    for file in files:
        is_picture = pictures is not None and file.folders[: len(pictures)] == pictures
        is_mask = masks is not None and file.folders[: len(masks)] == masks
        if is_picture and is_mask:  # the longer path is the closer one
            is_picture = len(pictures or ()) > len(masks or ())
            is_mask = not is_picture
        if is_mask or (masks is None and file.part == "mask" and not is_picture):
            parted.append(_below(file, "mask", masks))
        elif not is_picture and _is_field(file, options.get("field_of_view", "")):
            parted.append(replace(file, part="mask"))  # fields of view go with the masks that are named
        elif is_picture or (pictures is None and file.part == part_of_pictures):
            parted.append(_below(file, "image", pictures))
    return parted


def _parts_by_patterns(root: Path, files: Sequence[File], options: Mapping[str, str]) -> list[File]:
    """Pictures and masks by the patterns in the options; a file that both fit is of the longer one."""
    given = {option: _slashes(options.get(option, "")) for option in OPTIONS}
    if not all("*" in pattern for pattern in given.values()):
        raise DatasetError(
            "images and masks must both be patterns with *, such as images=*_S2.tif and masks=*_label.tif, or both "
            f"folders, got {given['images'][:80]!r} and {given['masks'][:80]!r}"
        )
    parted: dict[tuple[str, str], File] = {}
    for file in files:
        name = listing.composed(file.path.name)
        for option in sorted(given, key=lambda option: -len(given[option])):
            whole = "/".join((*file.folders, name)) if "/" in given[option] else name
            fit = re.fullmatch("([^/]*)".join(map(re.escape, given[option].split("*"))), whole)
            if fit is None:
                continue
            key = "/".join(fit.groups())
            first = parted.setdefault((option, key), _told(file, "image" if option == "images" else "mask", key))
            if first.path != file.path:
                raise DatasetError(
                    f"{option}={given[option][:80]} takes {listing.shown(first.path, root)} and "
                    f"{listing.shown(file.path, root)} for one; write the pattern with folders, such as */a/*_b.tif"
                )
            break
    for option in OPTIONS:
        if not any(said == option for said, _ in parted):
            example = f", such as {listing.shown(files[0].path, root)}," if files else ""
            raise DatasetError(f"no picture file{example} is called as {option}={given[option][:80]} says; correct it")
    return list(parted.values())


def _told(file: File, part: Part, key: str) -> File:
    """A file that belongs to those of the same key alone, whatever the names of its folders say."""
    return replace(file, part=part, stem=key, parts=(), own=(), exact=True)


def _slashes(text: str) -> str:
    return listing.composed(text.strip()).replace("\\", "/").removeprefix("./")


def _folder_option(root: Path, option: str, text: str) -> tuple[str, ...] | None:
    if not text:
        return None
    folder = tuple(part for part in text.replace("\\", "/").split("/") if part not in ("", "."))
    if ".." in folder or not root.joinpath(*folder).is_dir():
        name = printable(root.name[:60])
        raise DatasetError(f"the option {option} must name a folder inside {name}, got {text[:80]!r}")
    return folder


def _below(file: File, part: Part, folder: tuple[str, ...] | None) -> File:
    """A file with its part; where a folder was named for it, only the folders below that one say anything."""
    if folder is None:
        return replace(file, part=part)
    below = file.folders[len(folder) :]
    says = tuple(name for name in below if name[-1].isdigit() or not any(map(split_word, names.words(name))))
    return replace(file, part=part, parts=says, own=says)


def _parts_by_file_names(files: Sequence[File]) -> list[File]:
    """Pictures and masks in one folder: a_mask.png or a.png belong to a.jpg, and a_cell.png and a_nucleus.png do."""
    masks = _twins(files)
    if not masks:
        masks = {file.path for file in files if names.says_mask(file.stem)}
        if masks:
            pictures = [replace(file, part="image") for file in files if file.path not in masks]
            named = [replace(file, part="mask") for file in files if file.path in masks]
            if _propose(pictures, named)[0]:
                return [*pictures, *named]
        stems = {(file.folders, file.stem) for file in files}
        by_ending: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            for base, item in names.cuts(file.stem):
                if (file.folders, base) in stems and not item.isdigit():
                    by_ending[item].append(file.path)
                    break
        masks = {path for paths in by_ending.values() if len(paths) > 1 for path in paths}
    if not masks and (told := _by_words(files)):
        return told
    return [replace(file, part="mask" if file.path in masks else "image") for file in files]


def _by_words(files: Sequence[File]) -> list[File]:
    """Pictures and masks where all names begin or end in one of two words, only one of which says mask, as LabelHand.

    [] where that is not so, and where the rest of the names does not pair nearly all of them.
    """
    for cut in (names.last_word, names.first_word):
        by_word: dict[str, dict[str, File]] = defaultdict(dict)
        for file in files:
            rest, word = cut(file.stem)
            by_word[word][rest] = file
        masks = [word for word in by_word if names.says_mask_within(word)]
        if len(by_word) != 2 or len(masks) != 1 or sum(map(len, by_word.values())) != len(files):
            continue
        (picture,) = by_word.keys() - masks
        shared = by_word[picture].keys() & by_word[masks[0]].keys()
        if len(shared) >= 0.9 * max(map(len, by_word.values())):
            parts: tuple[tuple[Part, str], ...] = (("image", picture), ("mask", masks[0]))
            return [_told(file, part, rest) for part, word in parts for rest, file in by_word[word].items()]
    return []


def _twins(files: Sequence[File]) -> set[Path]:
    """The PNG files where nearly all names stand for a JPEG picture and a PNG mask."""
    by_name: dict[tuple[tuple[str, ...], str], list[Path]] = defaultdict(list)
    for file in files:
        by_name[(file.folders, file.stem)].append(file.path)
    masks = set()
    for paths in by_name.values():
        exact = [path for path in paths if not path.name.lower().endswith(_LOSSY)]
        if len(paths) == 2 and len(exact) == 1:
            masks.add(exact[0])
    return masks if len(masks) >= 0.9 * len(by_name) else set()


# 2. Masks to their pictures ------------------------------------------------------------------------------------------


def _propose(pictures: Sequence[File], masks: Sequence[File]) -> tuple[list[Pair], list[Path]]:
    """Masks with their pictures; and masks that belong to none."""
    by_stem: dict[str, list[File]] = defaultdict(list)
    by_parts: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for picture in pictures:
        by_stem[picture.stem].append(picture)
        by_parts[picture.parts].append(picture)
    stems = frozenset(by_stem)
    for picture in pictures:
        core = names.picture_core(picture.stem, picture.split)
        if core != picture.stem and core not in stems and not picture.exact:  # several splits may hold an image_0
            by_stem[core].append(picture)
    pairs = [_pair_by_folder(mask, by_stem, by_parts) for mask in masks]
    if sum(pair is not None for pair in pairs) < 0.9 * len(masks):
        pairs = [_pair_by_name(mask, by_stem) or pair for mask, pair in zip(masks, pairs, strict=True)]
    alone = [mask.path for mask, pair in zip(masks, pairs, strict=True) if pair is None]
    return [pair for pair in pairs if pair is not None], alone


def _pair_by_folder(
    mask: File, by_stem: Mapping[str, list[File]], by_parts: Mapping[tuple[str, ...], list[File]]
) -> Pair | None:
    """The picture that a folder of the mask is named after, or the only one beside the folder of its masks."""
    if mask.exact:
        return None
    for at in range(len(mask.parts) - 1, -1, -1):
        image = _nearest(mask, by_stem.get(mask.parts[at], ()))
        if image is not None:
            rest = _left(mask.parts[:at] + mask.parts[at + 1 :], image.parts)
            return Pair(mask, image, rest, mask.stem, True, (*rest, mask.stem))
    if _pair_by_name(mask, by_stem) is not None:
        return None
    for length in range(len(mask.parts), 0, -1):
        there = [picture for picture in by_parts.get(mask.parts[:length], ()) if _may_share_split(mask, picture)]
        if len(there) == 1:
            rest = mask.parts[length:]
            return Pair(mask, there[0], rest, mask.stem, True, (*rest, mask.stem))
    return None


def _pair_by_name(mask: File, by_stem: Mapping[str, list[File]]) -> Pair | None:
    """The picture that the mask itself is named after."""
    for base, item in [(mask.stem, "")] if mask.exact else names.mask_meanings(mask.stem):
        image = _nearest(mask, by_stem.get(base, ()))
        if image is not None:
            rest = _left(mask.parts, image.parts)
            return Pair(mask, image, rest, item, False, (*rest, item))
    return None


def _nearest(mask: File, pictures: Iterable[File]) -> File | None:
    """The picture whose folders all are the mask's too, most of them; else the only one of that name.

    A mask in the folder of one split never belongs to a picture of another. One outside of all splits belongs to no
    picture where several splits have one of that name.
    """
    candidates = [picture for picture in pictures if _may_share_split(mask, picture)]
    if mask.split is not None and any(picture.split == mask.split for picture in candidates):
        candidates = [picture for picture in candidates if picture.split == mask.split]
    inside = [picture for picture in candidates if _within(picture.parts, mask.parts)]
    inside = inside or [picture for picture in candidates if _within(picture.own, mask.parts)]
    if inside:
        longest = max(len(picture.parts) for picture in inside)
        closest = [picture for picture in inside if len(picture.parts) == longest]
        return closest[0] if len({picture.split for picture in closest}) == 1 else None
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
        elif not names.says_split_alone(part):
            kept.append(part)
    return tuple(kept)


def _may_share_split(mask: File, picture: File) -> bool:
    return mask.split is None or picture.split is None or mask.split == picture.split


# 3. The layout -------------------------------------------------------------------------------------------------------


def _layout(pairs: Sequence[Pair], name_of: Mapping[Path, str]) -> tuple[Layout | None, dict[str, list[Mask]]]:
    """How many masks a picture has and what tells them apart; and masks by image."""
    layout, masks = _labelled(pairs)
    by_image: dict[str, list[Mask]] = {}
    for pair, mask in zip(pairs, masks, strict=True):
        by_image.setdefault(name_of[pair.image.path], []).append(mask)
    return layout, by_image


def _labelled(pairs: Sequence[Pair]) -> tuple[Layout | None, list[Mask]]:
    if not pairs:
        return None, []
    items = Counter(pair.item for pair in pairs if pair.item)
    numbered = bool(items) and all(_NUMBER.fullmatch(item) for item in items)
    random = len(items) > max(16, len(pairs) // 2)
    if items and (numbered or random):
        masks = [Mask(pair.mask.path, "/".join(pair.rest), pair.item) for pair in pairs]
        most = max(Counter((pair.image.path, pair.rest) for pair in pairs).values())
        if numbered and most == 1 and not any(pair.by_folder for pair in pairs):
            return ("classes" if any(mask.label for mask in masks) else "one"), masks
        return "instances", masks
    masks = [Mask(pair.mask.path, "/".join((*pair.rest, pair.item)).strip("/")) for pair in pairs]
    labels = {mask.label for mask in masks}
    if len(labels) == 1 and not items and not any(label in pair.mask.folders for pair in pairs for label in labels):
        masks = [Mask(mask.path, "") for mask in masks]  # said by a name such as "Part1 masks"
        labels = {""}
    return ("one" if labels == {""} else "classes"), masks


def _unread(root: Path, there: Sequence[File], read: Sequence[File]) -> list[Finding]:
    """A note on picture files whose folders and names say neither picture nor mask."""
    paths = {file.path for file in read}
    unread = [file.path for file in there if file.path not in paths]
    if not unread:
        return []
    problem = (
        f"{len(unread):,} picture files, such as {listing.shown(unread[0], root)}, are not read: no option and "
        "no name of a folder makes them pictures or masks; the options images and masks name folders"
    )
    return [Finding.note("FILE-UNUSED", problem)]


def _one_each(root: Path, masks: Mapping[str, list[Mask]], findings: list[Finding]) -> dict[str, list[Mask]]:
    """One mask for each picture; of several the family of files that is known for label maps."""
    kept: dict[str, list[Mask]] = {}
    told = False
    for name, several in masks.items():
        best = sorted(several, key=lambda mask: names.family(mask.path.stem))
        if len(best) > 1 and names.family(best[0].path.stem) == names.family(best[1].path.stem) and not told:
            first, second = (listing.shown(mask.path, root) for mask in best[:2])
            problem = (
                f"{name} has several masks, {first} and {second}, and the first is read; remove the others, or "
                "name the folder in the option masks"
            )
            findings.append(Finding.warning("NAME-TWICE", problem))
            told = True
        kept[name] = best[:1]
    return kept


def _groups(pictures: Sequence[File], name_of: Mapping[Path, str]) -> dict[str, str]:
    """The folder of every picture where folders hold pictures of the same names, as frames of videos do."""
    folders: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for picture in pictures:
        folders[picture.stem].add(picture.own)
    shared = sum(len(own) > 1 for own in folders.values())
    if shared < 0.5 * len(folders) or not all(picture.own for picture in pictures):
        return {}
    return {name_of[picture.path]: "/".join(picture.own) for picture in pictures if picture.path in name_of}
