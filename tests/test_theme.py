"""Colours of the heads: apart for every kind of colour vision, and clear on both backgrounds."""

from itertools import combinations

import numpy as np
import pytest
from colors import contrast, difference, lab, linear

from dashboard.theme import DARK, HEAD_DASHES, HEAD_MARKERS, LIGHT, ink_on, words_in
from pipelines.schema import HEADS

# Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def test_lab_and_contrast_by_known_values():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)  # tables of sRGB's primaries
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@THEMES
@pytest.mark.parametrize("vision", VISIONS)
def test_heads_stay_apart_for_every_kind_of_colour_vision(theme, vision):
    for one, other in combinations(HEADS, 2):
        assert difference(theme.heads[one], theme.heads[other], VISIONS[vision]) > 15, (one, other)


@THEMES
def test_heads_and_text_are_clear_on_their_background(theme):
    for head in HEADS:
        assert contrast(theme.heads[head], theme.surface) >= 3, head  # WCAG 1.4.11, graphics
    assert contrast(theme.text, theme.surface) >= 7
    assert contrast(theme.muted, theme.surface) >= 4.5  # WCAG 1.4.3, text


@THEMES
def test_numbers_in_coloured_cells_can_be_read(theme):
    for head in HEADS:
        for strength in np.linspace(0, 1, 11):
            mixed = [
                round(
                    (1 - strength) * int(theme.band[at : at + 2], 16)
                    + strength * int(theme.heads[head][at : at + 2], 16)
                )
                for at in (1, 3, 5)
            ]
            cell = "#" + "".join(f"{part:02x}" for part in mixed)
            assert contrast(ink_on(theme, theme.heads[head], float(strength)), cell) >= 4, (head, strength)


@THEMES
@pytest.mark.parametrize("color", ["#d55e00", "#009e73", "#56b4e9", "#ffff00", "#c0392b", "#b7791f", "#808080"])
def test_words_in_a_colour_can_be_read(theme, color):
    assert contrast(words_in(color, theme), theme.surface) >= 4.5


def test_words_keep_a_colour_that_can_be_read_and_stay_near_one_that_cannot():
    assert words_in("#0072b2", LIGHT) == "#0072b2"
    assert difference(words_in("#d55e00", LIGHT), "#d55e00", VISIONS["usual"]) < 15


def test_shape_and_dash_tell_heads_apart_without_colour():
    assert len(set(HEAD_MARKERS.values())) == len(set(HEAD_DASHES.values())) == len(HEADS)
