"""Colours "#rrggbb" to what eyes make of them: CIE Lab differences and WCAG contrast."""

import numpy as np

# sRGB to XYZ under D65, IEC 61966-2-1.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])


def linear(color):
    """(3,) linear RGB in [0, 1]."""
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE 1976 L*a*b* of linear RGB."""
    ratio = np.clip(_XYZ @ np.clip(rgb, 0, 1), 0, None) / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(first, second, vision):
    """CIE 1976 colour difference as one kind of colour vision sees it; 2.3 is just noticeable."""
    seen = [lab(np.asarray(vision) @ linear(color)) for color in (first, second)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def contrast(first, second):
    """WCAG 2.1 contrast ratio, 1 to 21."""
    low, high = sorted(float(_XYZ[1] @ linear(color)) for color in (first, second))
    return (high + 0.05) / (low + 0.05)
