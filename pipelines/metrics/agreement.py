"""Counts of two heads' decisions to how far they agree and who is right where they do not.

Functions of a class take (..., 2, 2, 2) pixels by whether the class is there, whether the first head calls it and
whether the second does; functions of whole label sets take (..., 5) pixels: both right, both wrong with the same set,
only the first right, only the second right, both wrong with different sets. Both are float64 and come from
statistics.agreement; leading axes are kept. Without a pixel all values are NaN.
"""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import ratio

# One class ----------------------------------------------------------------------------------------------------------


def agreement_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels on which both heads call the class or neither does; close to 1 for any rare class."""
    calls = terms.sum(axis=-3)
    return ratio(calls[..., 0, 0] + calls[..., 1, 1], calls.sum(axis=(-2, -1)))


def dice_between(terms: Float64Array) -> Float64Array:
    """Dice of the two heads' masks, 2 |both| / (|first| + |second|); NaN where neither calls the class.

    The proportion of specific agreement (Cicchetti and Feinstein 1990): pixels that both leave out do not help.
    """
    calls = terms.sum(axis=-3)
    both = calls[..., 1, 1]
    return ratio(2 * both, 2 * both + calls[..., 0, 1] + calls[..., 1, 0])


def kappa_between(terms: Float64Array) -> Float64Array:
    """Agreement of the two heads beyond chance, (p_o - p_e) / (1 - p_e) (Cohen 1960), in [-1, 1].

    NaN where chance alone gives full agreement: both heads call the class everywhere, or both nowhere.
    """
    calls = terms.sum(axis=-3)
    neither, only_second, only_first, both = calls[..., 0, 0], calls[..., 0, 1], calls[..., 1, 0], calls[..., 1, 1]
    # Both times the squared number of pixels: no share is rounded, and full agreement gives exactly 1.
    beyond = 2 * (both * neither - only_first * only_second)
    chance = (both + only_first) * (only_first + neither) + (both + only_second) * (only_second + neither)
    return ratio(beyond, chance)


def first_right_share_of_disagreements(terms: Float64Array) -> Float64Array:
    """Of the pixels where just one head calls the class, the share where the first head is right; else the second is.

    0.5 says that neither wins; NaN where the heads agree everywhere.
    """
    first = terms[..., 1, 1, 0] + terms[..., 0, 0, 1]
    calls = terms.sum(axis=-3)
    return ratio(first, calls[..., 0, 1] + calls[..., 1, 0])


def shared_error_share(terms: Float64Array) -> Float64Array:
    """Of the pixels where at least one head is wrong about the class, the share where both are; NaN without errors.

    1 says that the heads fail in the same places, so that neither last layer mends what the other breaks.
    """
    both = terms[..., 1, 0, 0] + terms[..., 0, 1, 1]
    right = terms[..., 1, 1, 1] + terms[..., 0, 0, 0]
    return ratio(both, terms.sum(axis=(-3, -2, -1)) - right)


# Whole label sets ---------------------------------------------------------------------------------------------------


def same_set_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels to which both heads give the same label set, right or wrong."""
    return ratio(terms[..., 0] + terms[..., 1], terms.sum(axis=-1))


def either_right_rate(terms: Float64Array) -> Float64Array:
    """Share of pixels whose label set at least one head gets right: what the best choice between the two could reach.

    One minus the double-fault measure (Giacinto and Roli 2001).
    """
    return ratio(terms[..., 0] + terms[..., 2] + terms[..., 3], terms.sum(axis=-1))


def right_shares_of_differing_sets(terms: Float64Array) -> Float64Array:
    """Of the pixels with different label sets, the shares where the first, the second, and neither head is right.

    Returns (..., 3), which add up to 1; NaN where the sets never differ.
    """
    differing = terms[..., 2:]
    return ratio(differing, differing.sum(axis=-1, keepdims=True))


def shared_set_error_share(terms: Float64Array) -> Float64Array:
    """Of the pixels whose label set at least one head gets wrong, the share where both do; NaN without errors."""
    return ratio(terms[..., 1] + terms[..., 4], terms[..., 1:].sum(axis=-1))
