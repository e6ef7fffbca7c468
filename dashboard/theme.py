"""The look every figure shares: one colour, dash and marker per head, for light and dark pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipelines.heads import LAST_LAYERS
from pipelines.schema import Head

HEAD_TITLES: Final[Mapping[Head, str]] = {name: layer.title for name, layer in LAST_LAYERS.items()}
HEAD_SHORT: Final[Mapping[Head, str]] = {name: layer.short for name, layer in LAST_LAYERS.items()}
# Shape and dash repeat what the colour says, for readers who cannot tell the colours apart.
HEAD_MARKERS: Final[Mapping[Head, str]] = {"sigmoid": "circle", "softmax": "square", "softmax-powerset": "diamond"}
HEAD_DASHES: Final[Mapping[Head, str]] = {"sigmoid": "solid", "softmax": "5px,3px", "softmax-powerset": "2px,2px"}

_READABLE: Final = 4.5
FONT: Final = '"Source Sans", "Source Sans Pro", sans-serif'


@dataclass(frozen=True)
class Theme:
    """Colours of one page background, all "#rrggbb"."""

    dark: bool
    text: str
    muted: str
    line: str
    surface: str
    band: str
    heads: Mapping[Head, str]


# Okabe & Ito (2008): blue, vermillion and green stay apart in all common kinds of colour blindness.
LIGHT: Final = Theme(
    dark=False,
    text="#1c232d",
    muted="#5d6876",
    line="#dde1e7",
    surface="#ffffff",
    band="#eef0f3",
    heads={"sigmoid": "#0072b2", "softmax": "#d55e00", "softmax-powerset": "#009e73"},
)
DARK: Final = Theme(
    dark=True,
    text="#e4e8ee",
    muted="#9aa6b5",
    line="#313a46",
    surface="#12161c",
    band="#1f2630",
    heads={"sigmoid": "#56b4e9", "softmax": "#f5894a", "softmax-powerset": "#009e73"},
)


def theme_of(name: str | None) -> Theme:
    """The theme called "dark"; light for anything else."""
    return DARK if name == "dark" else LIGHT


def faded(color: str, alpha: float) -> str:
    """A colour "#rrggbb" with an opacity in [0, 1], as "rgba(…)"."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def ink_on(theme: Theme, color: str, strength: float) -> str:
    """Black or white, whichever reads better on the quiet band mixed with a share `strength` in [0, 1] of a colour."""

    def mixed(at: int) -> float:
        return (1 - strength) * int(theme.band[at : at + 2], 16) + strength * int(color[at : at + 2], 16)

    # WCAG 2.1: (L + 0.05) / (0.008 + 0.05), against this black, equals 1.05 / (L + 0.05), against white, at L = 0.197.
    return "#12161c" if _luminance([mixed(at) for at in (1, 3, 5)]) > 0.197 else "#ffffff"


def words_in(color: str, theme: Theme) -> str:
    """A colour "#rrggbb" for words: moved towards the text's until it has a contrast of 4.5 to the page (WCAG 1.4.3).

    Marks and areas need a contrast of 3 only, so that a head's own colour may be too pale for a small line of text.
    """
    return _words_in(color, theme.text, theme.surface)


@lru_cache(maxsize=256)
def _words_in(color: str, text: str, surface: str) -> str:
    for step in range(21):
        pairs = zip(_parts(color), _parts(text), strict=True)
        mixed = [round(own + step / 20 * (other - own)) for own, other in pairs]
        low, high = sorted((_luminance(mixed), _luminance(_parts(surface))))
        if (high + 0.05) / (low + 0.05) >= _READABLE:
            return "#" + "".join(f"{part:02x}" for part in mixed)
    return text


def _parts(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(parts: Sequence[float]) -> float:
    """Relative luminance of WCAG 2.1; parts: red, green and blue from 0 to 255."""
    scaled = [part / 255 for part in parts]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in scaled]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
