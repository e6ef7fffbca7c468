"""Pixels of one cell of a confusion matrix to a picture."""

import numpy as np

from dashboard.figures import pictures
from pipelines.arrays import BoolArray, UInt8Array


def marked_picture(image: UInt8Array, mask: BoolArray, color: str) -> UInt8Array:
    """Pixels of a mask in a colour over the faded image, with a pale rim so that single ones are found.

    image: (H, W, 3) uint8; mask: (H, W) bool; color: "#rrggbb". Returns the picture enlarged.
    """
    rim = max(1, max(mask.shape) // 160)
    near = pictures.outline(~mask, width=rim)
    pale = "#" + "".join(f"{255 - (255 - int(color[at : at + 2], 16)) * 2 // 5:02x}" for at in (1, 3, 5))
    codes = np.where(mask, 1, np.where(near, 2, 0)).astype(np.uint8)
    return pictures.comparison_picture(image, codes, [color, pale])
