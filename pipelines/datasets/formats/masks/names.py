"""What the names of files and folders say: picture or mask, of which picture, of which split, and in which role."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from pipelines.datasets.base import split_word
from pipelines.schema import Split

Part: TypeAlias = Literal["image", "mask", ""]
Role: TypeAlias = Literal["observer", "soft", "field", "region", "derived"]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MASK_WORDS: Final = frozenset(
    _listed(
        "mask masks label labels labelled labeled annotation annotations annot gt gts groundtruth groundtruths truth "
        "truths seg segs segmentation segmentations target targets gtfine gtcoarse segmentationclass "
        "segmentationclassraw segmentationclassaug segmentationclasspng manual 1st indexed pixellabels labelids "
        "labeltrainids"
    )
)
IMAGE_WORDS: Final = frozenset(
    _listed(
        "image images img imgs jpegimages input inputs picture pictures photo photos rgb leftimg8bit sat original "
        "originals frame frames raw tissue"
    )
)
# Derived pictures of the same masks, not to be read as other masks.
_PASSED_OVER: Final = frozenset(
    _listed(
        "segmentationobject segmentationobjectpng segmentationobjectvisualization segmentationclassvisualization "
        "overlay overlays visualization visualisation"
    )
)
_JOINED: Final = re.compile(r"([^\W_]+?)(annots?|masks?|labels?|images?)")
_WORD: Final = re.compile(r"[^\W_]+")
_SEPARATORS: Final = re.compile(r"[_\-. ]+")
_TIDY: Final = "_-. "
# Files that some sets keep beside their label maps: which are read, best first.
_FAMILIES: Final = ("labelids", "labeltrainids", "label", "labels", "mask")


def words(text: str) -> list[str]:
    """The words of a name in lower case: letters and digits between anything else.

    >>> words("Train_Masks-2"), words("cellmasks")
    (['train', 'masks', '2'], ['cell', 'masks'])
    """
    lower = text.casefold()
    if lower in MASK_WORDS or lower in IMAGE_WORDS:
        return [lower]
    joined = _JOINED.fullmatch(lower)
    return list(joined.groups()) if joined else _WORD.findall(lower)


@dataclass(frozen=True)
class Folder:
    """What the folders above a file say. parts: what they say beside what they hold and the split.

    own: the parts that are whole folder names, without the "tif" of images_tif.
    """

    parts: tuple[str, ...]
    own: tuple[str, ...]
    part: Part
    split: Split | None


def read_folder(folder: tuple[str, ...]) -> Folder | None:
    """What the folders from the root to a file say; None where they hold pictures derived from masks."""
    parts: list[str] = []
    own: list[str] = []
    splits: set[Split] = set()
    part: Part = ""
    for name in folder:
        there = words(name)
        if any(word in _PASSED_OVER for word in there):
            return None
        image_words = IMAGE_WORDS - {"tissue"} if part == "mask" else IMAGE_WORDS  # there it is a class
        says: Part = "mask" if MASK_WORDS & set(there) else "image" if image_words & set(there) else ""
        named = {split for word in there if (split := split_word(word)) is not None}
        splits |= named
        if says:
            part = says if part != "mask" else part
            left = [word for word in there if word not in MASK_WORDS | image_words and split_word(word) is None]
            if left:
                parts.append("_".join(left))
        elif not named or len(there) > 2:
            parts.append(name)
            own.append(name)
        elif name[-1].isdigit():  # test1 and test2 may hold the same names
            parts.append(name)
    return Folder(tuple(parts), tuple(own), part, splits.pop() if len(splits) == 1 else None)


def mask_meanings(stem: str) -> Iterator[tuple[str, str]]:
    """What a mask's name may mean, the likeliest first: the picture's name, and what is said beside it."""
    yield stem, ""
    core = _core(stem, MASK_WORDS)
    if core != stem:
        yield core, ""
    for base, item in cuts(stem):
        yield base, _core(item, MASK_WORDS) if set(words(item)) - MASK_WORDS else ""
    if core != stem:
        yield from cuts(core)


def cuts(text: str) -> Iterator[tuple[str, str]]:
    """Beginnings of a name at its separators, the longest first, and what follows each.

    >>> list(cuts("a_1-cell"))
    [('a_1', 'cell'), ('a', '1-cell')]
    """
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


def picture_core(stem: str, split: Split | None) -> str:
    """The name of a picture without words such as image, and without its split at the end, as in 21_training."""
    core = _core(stem, IMAGE_WORDS)
    cut = next(cuts(core), None)
    if cut is not None and split is not None and split_word(cut[1].casefold()) == split:
        return cut[0]
    return core


def says_mask(stem: str) -> bool:
    """Whether a name is that of a mask: a_mask, mask_a, a_mask_1."""
    if _core(stem, MASK_WORDS) != stem:
        return True
    numbered = re.fullmatch(r"(.+?)[_\-. ]+\d+", stem)
    there = words(numbered[1]) if numbered else []
    return there[-1:] != there[:1] and there[-1] in MASK_WORDS


_INNER_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def says_mask_within(word: str) -> bool:
    """Whether a word is that of a mask, or one of those that capitals tell apart in it is.

    >>> says_mask_within("LabelHand"), says_mask_within("S2Hand")
    (True, False)
    """
    inner = {part.casefold() for part in _INNER_WORD.findall(word)}
    return bool(MASK_WORDS & {word.casefold(), *inner})


def last_word(stem: str) -> tuple[str, str]:
    """What stands before the last word of a name, and that word; "" and the name where it is one word."""
    return next(cuts(stem), ("", stem))


def first_word(stem: str) -> tuple[str, str]:
    """What stands after the first word of a name, and that word; "" and the name where it is one word."""
    before, after = ([*cuts(stem)] or [(stem, "")])[-1]
    return after, before


def says_split_alone(name: str) -> bool:
    """Whether a folder's name holds no word but those of splits."""
    return all(map(split_word, words(name)))


def family(stem: str) -> int:
    """The rank of a mask among several of one picture, as gtFine_labelIds comes before gtFine_instanceIds."""
    there = words(stem)
    return next((rank for rank, word in enumerate(_FAMILIES) if word in there), len(_FAMILIES))


# Roles ---------------------------------------------------------------------------------------------------------------

_NOUNS: Final = "observer|annotator|rater|grader|reader|expert|radiologist|pathologist|doctor|manual|ho|labell?er"
_ORDINALS: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_ORDINAL: Final = rf"\d+(?:st|nd|rd|th)|{'|'.join(_ORDINALS)}"
_PERSON: Final = "observer|annotator|rater|grader"
_OBSERVER: Final = re.compile(
    rf"(?:^|_)(?:(?P<ordinal>{_ORDINAL})_?(?:human_?)?(?:{_NOUNS})s?|(?:{_NOUNS})_?(?P<number>\d+)"
    rf"|(?:{_PERSON}|expert|radiologist|pathologist|reader)_?(?P<letter>[a-h])"
    rf"|(?:{_PERSON})_(?P<name>[^\W\d_]+)|(?:{_PERSON})s?)(?=_|$)"
)
_ONLY_ORDINAL: Final = re.compile(r"(?P<ordinal>[1-9]\d*(?:st|nd|rd|th))")
_ANYWHERE: Final[dict[str, Role]] = {
    **dict.fromkeys(_listed("fov fovs fieldofview field_of_view"), "field"),
    **dict.fromkeys(
        _listed(
            "soft softmask softmasks softmap softmaps softlabel softlabels prob probs probability probabilities "
            "probmap probmaps"
        ),
        "soft",
    ),
    **dict.fromkeys(
        _listed(
            "overlay overlays visualization visualizations visualisation visualisations vis viz preview previews "
            "thumbnail thumbnails pred preds prediction predictions predicted heatmap heatmaps"
        ),
        "derived",
    ),
}
_WHOLE: Final[dict[str, Role]] = {
    **dict.fromkeys(_listed("roi rois"), "region"),
    **dict.fromkeys(
        _listed(
            "color colors colour colours colored coloured instance instances instanceids panoptic edges result results "
            "output outputs depth uncertainty confidence"
        ),
        "derived",
    ),
}


@dataclass(frozen=True)
class RoleName:
    """What a name says a mask is. rest: the words that say nothing of it; who: number or name of the observer."""

    role: Role
    rest: str = ""
    who: str = ""


@lru_cache(maxsize=1 << 14)
def role_named(text: str, classes: frozenset[str] = frozenset()) -> RoleName | None:
    """What a folder's name, or the end of a file's, says a mask is; None for a class.

    classes: labels that are known, in lower case; soft_lesion is a soft mask only where lesion is one of them.

    >>> role_named("2nd_observer"), role_named("Soft Exudates")
    (RoleName(role='observer', rest='', who='2'), None)
    """
    name = "_".join(words(text))
    observer = _OBSERVER.search(name) or _ONLY_ORDINAL.fullmatch(name)
    if observer is not None:
        told = observer.groupdict()
        who = told.get("letter") or told.get("name") or str(int(told.get("number") or 1))
        if told["ordinal"]:
            who = str(_ORDINALS.get(told["ordinal"]) or int(re.sub(r"\D", "", told["ordinal"])))
        if told.get("name") and who in classes | MASK_WORDS:  # as in annotator_cup, where cup is a class
            return RoleName("observer", who if who in classes else "", "1")
        return RoleName("observer", _without(name, observer), who)
    if name in _WHOLE:
        return RoleName(_WHOLE[name])
    for word, role in _ANYWHERE.items():
        place = re.search(rf"(?:^|_){word}(?=_|$)", name)
        if place is not None:
            rest = _without(name, place)
            if not rest or rest in classes:
                return RoleName(role, rest)
    return None


def _without(name: str, taken: re.Match[str]) -> str:
    """What is left of a name, without words such as masks that say nothing."""
    left = f"{name[: taken.start()]}_{name[taken.end() :]}".split("_")
    return "_".join(word for word in left if word and word not in MASK_WORDS)
