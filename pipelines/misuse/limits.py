"""The numbers that part misuse from rounding and from networks that know little, each with its reason."""

import math
from typing import Final

# Fewer pixels than this say too little for what is inferred from where values lie.
ENOUGH_PIXELS: Final = 1000
# Rounding that says nothing: 16-bit formats and sliding windows put probabilities this far beyond 0 and 1.
SLACK: Final = 1e-3
# A softmax's rows add up to 1 within this in float32, float16 and bfloat16, whatever format they came through before:
# the largest deviation seen was 0.003, with 11 channels of bfloat16.
EXACT: Final = 5e-3
EXACT_SHARE: Final = 0.05  # of what a channel varies: rows of two channels that stay at 0.5 add up to about 1 as well
# From here on rows do not add up. 11 channels rounded to 8 bits stay below: they are off by 0.012 at most.
ROW_TOLERANCE: Final = 0.02
MANY_ROWS: Final = 1e-3  # share of rows that do not add up from which on it is more than a blemish
ENOUGH_UNSURE: Final = 100  # rows without a confident value: one-hot rows add up to 1 under any head

# A probability this close to 0 or 1 is a confident one.
CONFIDENT: Final = 0.05
# sigmoid(sigmoid(z)) lies between sigmoid(0) and sigmoid(1) = 0.7311; of confident probabilities it lies beyond NEAR.
TWICE_LOW: Final = 0.5
TWICE_HIGH: Final = 1 / (1 + math.exp(-1))
TWICE_NEAR_LOW: Final = 1 / (1 + math.exp(-CONFIDENT))
TWICE_NEAR_HIGH: Final = 1 / (1 + math.exp(CONFIDENT - 1))
INVERTED_SLACK: Final = 0.01  # in the probabilities that a softmax of a softmax is traced back to; bfloat16 gives 0.004

# Share of pixels that must be confident before two channels are told: the same networks of 2 channels reached 0.0002 at
# that temperature, one whose softmax was applied twice 0.37.
TWO_CHANNEL_SHARE: Final = 0.01

# New networks put all outputs into a narrow band, wherever their bias lies; mistaken ranges are filled at least so far.
NARROW_TWICE: Final = 0.1
NARROW_UNIT: Final = 0.5
NEARLY_CONSTANT: Final = 1e-4
# Share of values outside 0 to 1 that interpolation does not reach by overshooting.
LOGIT_SHARE: Final = 0.25
SCALES: Final = (100.0, 255.0, 65535.0)  # largest values of percentages and of probabilities saved as images
MOST_CHANNELS: Final = 4096  # more are an axis of pixels in the place of the channels


def twice_bounds(channels: int) -> tuple[float, float]:
    """Lowest and highest value of softmax(softmax(z)) over K channels: 1/(K - 1 + e) and e/(K - 1 + e).

    The inner p lie on the simplex. exp(p_c) / sum exp(p_k) is largest where p_c = 1 and all others are 0. It is
    smallest where p_c = 0 and the sum is largest, which is at a corner because exp is convex: e + (K - 1).
    """
    return 1 / (channels - 1 + math.e), math.e / (channels - 1 + math.e)


def twice_span(channels: int) -> float:
    """How much log p of one channel must change over all pixels before softmax(softmax(z)) is believed.

    softmax(softmax(z)) over a confident network reaches 1, from e/(K - 1 + e) down to 1/(K - 1 + e). Trained networks
    divided by the temperature at which every pixel could just be softmax(softmax(z)) reached 0.38 at most with 4 to 11
    channels and 0.67 with 3. With 2 they reached 0.94: the fewer channels, the less the condition says.
    """
    return 0.9 if channels <= 3 else 0.7
