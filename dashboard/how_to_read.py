"""One short explanation for each figure, in plain words."""

from typing import Final

HOW_TO_READ: Final = {
    "forest": (
        "Each row is one class; the diamond is their mean. Points right of zero favour sigmoid, left of it "
        "softmax. The line is the 95 % interval of the paired difference: the same images, drawn again and again, "
        "for both heads. Inside the grey band the difference is too small to matter in practice. A point takes a "
        "head's colour only when its whole interval lies beyond the band. Intervals of calibration errors are "
        "corrected for the gaps that chance adds, so a point can lie outside its line."
    ),
    "scores": (
        "Mean over the classes, with 95 % intervals from resampling images. The difference is taken image by "
        "image, so its interval can be narrow even where those of the two heads overlap. A calibration error is "
        "measured too large, because chance adds gaps: its interval is corrected for that and can lie below it."
    ),
    "by_image": (
        "The same error, once with the pixels of all images together and once for each image alone. Images that err "
        "in opposite directions make up for each other in the first; whoever meets one image meets the second."
    ),
    "reliability": (
        "Of the pixels that a head gives probability p, what share really is that class? On the dotted diagonal "
        "the probabilities can be taken at their word; below it the head is over-confident, above it "
        "under-confident. Bands are 95 % intervals from resampling images, or groups of them. The bars below show how "
        "many pixels a bin "
        "holds, on a logarithmic scale: a wild point over a tiny bar weighs next to nothing in the calibration "
        "error."
    ),
    "confusion": (
        "Rows are the truth, columns what was predicted. In row shares, each row says where the pixels of a true "
        "class went. In the difference, a head's colour marks the cells that it fills more."
    ),
    "confusion_threshold": (
        "Rows are the truth, columns every class whose probability is above the threshold. A pixel may count in "
        "several columns or in none, so rows need not add up to 100 %."
    ),
    "rates": (
        "One threshold for all classes, from lenient (left) to strict (right). The dotted line is the truth. A "
        "sigmoid decides on each class alone; the probabilities of an exclusive softmax add up to at most 1, so "
        "that above p = 0.5 it can never return two labels."
    ),
    "labels": (
        "Pixels are sorted by how many labels they truly carry. Each bar shows how many labels the head gives "
        "them at the chosen threshold. Perfect would be one full block of the same number."
    ),
    "pairs": (
        "How much of the row's class also carries the column's class. Left the truth, then the heads at the "
        "chosen threshold."
    ),
    "pairs_truth": (
        "How much of the row's class also carries the column's class, over all splits. "
        "100 % means that it lies inside it."
    ),
    "images": (
        "Filled areas are labels, lines their outlines; where labels overlap, the fill is blended and both "
        "outlines are drawn. In the comparison, a head's colour marks the pixels that this head alone gets right."
    ),
    "confidence": (
        "Light is sure, dark is unsure. For exclusive truth it is the largest probability of a pixel; otherwise "
        "how far the least certain class is from a coin toss."
    ),
    "image_scores": "Scores of each image, in the order of the list above.",
    "class_shares": (
        "Share of the valid pixels that carry each class, over all splits. Rare classes rest on few pixels."
    ),
    "ceiling": (
        "The best that any output with one label a pixel could score on this truth, before any training: the split "
        "between classes that gives the highest mean. A "
        "sigmoid per class, or a softmax over label sets, can reach 1."
    ),
    "losses": (
        "Each group is a run, each colour a head. Hollow points are the outputs as trained, filled ones the same with "
        "thresholds tuned, or a temperature fitted, on validation. Lines are 95 % intervals of each value; differences "
        "are surer than they look here, because the same images are drawn for all."
    ),
    "effects": (
        "How much better one level of a choice is than another, averaged over all else (diamond), with the interval of "
        "the paired difference; below it the parts it is the mean of, and what is left once thresholds are tuned or a "
        "temperature is fitted. Inside the grey band it is too small to matter in practice; only rows that lie wholly "
        "beyond it are strongly drawn. Of a choice with several levels the widest pair is shown, with an interval that "
        "allows for that."
    ),
    "labels_per_pixel": ("Share of the valid pixels by the number of labels they carry."),
}
