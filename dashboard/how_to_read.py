"""How to read every explained figure, in plain words, with its title in the guide, by the page that it stands on."""

from typing import Final

# In the order of the menu, and of each page: title and text.
BY_PAGE: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "verdict": {
        "forest": (
            "Paired differences, with the margin",
            "Each row is one class; the diamond is their mean. Points right of zero favour sigmoid, left of it "
            "softmax. The line is the 95% interval of the paired difference: the same images, drawn again and again, "
            "for both heads. Inside the grey band the difference is too small to matter in practice. A point takes a "
            "head's colour only when its whole interval lies beyond the band. Intervals of calibration errors are "
            "corrected for the gaps that chance adds, so a point can lie outside its line.",
        ),
        "levels": (
            "One head alone",
            "Each row is one class, each colour a head with its 95% interval from resampling images. Nothing is "
            "compared here: how good these values are beside another last layer's, only that head on the same images "
            "can say. Intervals of calibration errors are corrected for the gaps that chance adds, so a point can lie "
            "outside.",
        ),
        "scores": (
            "Scores",
            "Mean over the classes, with 95% intervals from resampling images. The difference is taken image by image,"
            " so its interval can be narrow even where those of the two heads overlap. A calibration error is measured"
            " too large, because chance adds gaps: its interval is corrected for that and can lie below it.",
        ),
    },
    "labels": {
        "labels_per_pixel": (
            "Labels per pixel",
            "Share of the valid pixels by the number of labels they carry.",
        ),
        "class_shares": (
            "Classes",
            "Share of the valid pixels that carry each class, over all splits. Rare classes rest on few pixels.",
        ),
        "splits": (
            "Classes in each split",
            "How common each class is in the splits. Where the marks lie far apart, what was learned or tuned on one "
            "split fits the other less well, for both heads.",
        ),
        "pairs_truth": (
            "Classes that share pixels",
            "How much of the row's class also carries the column's class, over all splits. 100% means that it lies "
            "inside it.",
        ),
        "nesting": (
            "Which class lies inside which",
            "Each row is as wide as the pixels of both classes together. The wide bar is the outer class, the narrow "
            "one the inner; where the narrow bar lies on the wide one, pixels carry both. The number says how much of "
            "the inner class lies inside the outer: at 100% it is nested, and one label a pixel must lose one of the "
            "two.",
        ),
        "kinds": (
            "Images of each kind of pixel",
            "For each kind of pixel the image that has most of them, as the networks saw it, and the same faded with "
            "those pixels marked.",
        ),
        "observers": (
            "How far people agree",
            "The diamond is the Dice of one observer with the majority of the others, the mean over observers; beside "
            "it the Dice of each head with the truth. Lines are 95% intervals from resampling images. A head beside the"
            " diamond differs from the truth no more than a person does, and a difference between heads that is smaller"
            " than its distance from 1 is smaller than what people argue about.",
        ),
        "ceiling": (
            "Best possible with one label a pixel",
            "The best that any output with one label a pixel could score on this truth, before any training: the split"
            " between classes that gives the highest mean. A sigmoid per class, or a softmax over label sets, can "
            "reach 1.",
        ),
    },
    "accuracy": {
        "accuracy": (
            "Pooled and mean of images",
            "Over all pixels, large objects and crowded images weigh most; in the mean of images each image weighs the"
            " same, and those in which a class is neither there nor called are left out. The two can disagree. Lines "
            "are 95% intervals from resampling images, or groups of them. Where two heads are compared, a difference "
            "inside the grey band is too small to matter, and a point takes a head's colour only when its whole "
            "interval lies beyond.",
        ),
        "seed_spread": (
            "Seeds",
            "The same trained again from other initial weights. A difference between two heads that is no larger than "
            "the spread between the seeds may be chance: look at whether every seed falls on the same side. Scores are"
            " over all pixels.",
        ),
        "image_pairs": (
            "Image by image",
            "A point is an image: above the diagonal sigmoid is better, below it softmax; in the grey band the "
            "difference is too small to matter. Click a point, or choose an image in the list, to see it. With several"
            " seeds, an image's score is their mean. Images in which a head has no score are left out.",
        ),
        "image_spread": (
            "Spread of the images",
            "Scores of single images: half of them lie in the box, nine of ten between the ends of the line, the "
            "stroke is the median. The diamond is the score over all pixels together.",
        ),
        "image_errors": (
            "Errors on an image",
            "Worst: in the head's colour, over the faded image, the pixels whose labels it gets wrong. Better by most:"
            " in each of two heads' colour, the pixels that it alone gets right. With a class chosen only its label "
            "counts. Labels are decided as in the run: by argmax where labels exclude each other, else at p > 0.5.",
        ),
    },
    "calibration": {
        "reliability": (
            "Reliability diagram",
            "Of the pixels that a head gives probability p, what share really is that class? On the dotted diagonal "
            "the probabilities can be taken at their word; below it the head is over-confident, above it "
            "under-confident. Bands are 95% intervals from resampling images, or groups of them. The bars below show "
            "how many pixels a bin holds, on a logarithmic scale: a wild point over a tiny bar weighs next to nothing "
            "in the calibration error.",
        ),
        "by_image": (
            "Calibration error, pooled and image by image",
            "The same error, once with the pixels of all images together and once for each image alone. Images that "
            "err in opposite directions make up for each other in the first; whoever meets one image meets the second."
            " Dots are images (of very many, those outside the middle 90%), thick bars their middle 50%, thin ones "
            "their middle 90%, ticks the median; the framed mark is the error of all images together.",
        ),
        "calibration_scores": (
            "Calibration metrics",
            "95% intervals below each number. A difference of two heads is sigmoid minus the other, paired image by "
            "image, and takes a head's colour where its whole interval favours that head. Brier score and NLL are "
            "proper: they decide. Miscalibration, discrimination and uncertainty are the Brier score's parts (CORP). "
            "The errors in bins explain; their intervals are corrected for the gaps that chance adds, so a number can "
            "lie outside. Slope and intercept are those of a line through the log-odds: a slope below 1 is "
            "over-confident.",
        ),
    },
    "confusion": {
        "confusion": (
            "Confusion by argmax",
            "Rows are the truth, columns what was predicted. In row shares, each row says where the pixels of a true "
            "class went. In the difference of two heads, a head's colour marks the cells that it fills more.",
        ),
        "confusion_threshold": (
            "Confusion by threshold",
            "Rows are the truth, columns every class whose probability is above the threshold. A pixel may count in "
            "several columns or in none, so rows need not add up to 100%.",
        ),
        "confusion_cell": (
            "Images of one cell",
            "The images with most pixels of the framed cell, in the head's colour with a pale rim over the faded "
            "image. A click on another cell, or the three lists, changes it.",
        ),
        "label_sets": (
            "Label sets",
            "Rows are the true sets of labels, columns the predicted ones, commonest first, at p > 0.5. Each row says "
            "where the pixels that truly carry this set went; rare sets are pooled. The table names the 64 commonest "
            "sets.",
        ),
        "set_errors": (
            "Wrong label sets",
            "A set is all labels of a pixel together. Each row is a mix-up: the true set, and the set that was "
            "predicted in its place; points say how many of all pixels each head gets wrong in this way. Every class "
            "is called at p > 0.5, the one threshold at which sets are counted, whatever is chosen above.",
        ),
    },
    "overlap": {
        "rates": (
            "Overlap and no-label rates",
            "One threshold for all classes, from lenient (left) to strict (right). The dotted line is the truth. A "
            "sigmoid decides on each class alone; the probabilities of an exclusive softmax add up to at most 1, so "
            "that above p = 0.5 it can never return two labels.",
        ),
        "labels": (
            "Labels predicted, by true number",
            "Pixels are sorted by how many labels they truly carry. Each bar shows how many labels the head gives them"
            " at the chosen threshold. Perfect would be one full block of the same number.",
        ),
        "pairs": (
            "Which classes share pixels",
            "How much of the row's class also carries the column's class. Left the truth, then the heads at the chosen"
            " threshold.",
        ),
        "expected_overlap": (
            "Pairs of classes: expected and decided overlap",
            "Hollow: how often both labels would share a pixel if each pixel's probabilities were independent. Filled:"
            " how often the head gives both at the threshold. Line: the truth. The faint bar is all that the "
            "probabilities allow, whatever ties the labels together (Fréchet bounds); truth outside it means that they"
            " are wrong.",
        ),
        "mass": (
            "Labels a pixel: expected and decided",
            "Expected: mean probability that a pixel carries no label, one, or more; sigmoid's labels are taken as "
            "independent. Decided: what the threshold makes of it. Both should look like the truth.",
        ),
        "label_maps": (
            "Where labels are several, or none",
            "The images with most such pixels of each head, faded, with those pixels in the head's colour. Grey marks "
            "two labels or more where the truth has them too.",
        ),
    },
    "thresholds": {
        "threshold_choices": (
            "Best threshold of each class",
            "Left: the threshold with the greatest Dice of each class, on these images (star) and on validation "
            "(diamond). The bar spans the thresholds within 0.005 of the greatest Dice: where it is long, the exact "
            "threshold hardly matters. The upright line is half the greatest Dice, which is where the best threshold "
            "of a calibrated p lies; a star to the right of it says that p is too high there. Right: what tuning does "
            "to Dice. Several seeds share one threshold here.",
        ),
        "threshold_scores": (
            "Scores against the threshold",
            "Each curve is a head: the score of the class when it is called wherever p is above the threshold. A flat "
            "top forgives a badly chosen threshold, a narrow one does not. The star is the greatest score on these "
            "images: what could be had, not what to report. For the mean of the classes all share the threshold; the "
            "dotted line across is the mean with each class at its own tuned one.",
        ),
        "threshold_curves": (
            "ROC and precision-recall",
            "Every point is a threshold; the filled circle is the chosen one. Two heads with the same curve can be "
            "tuned to the same result, whatever their p mean. Where a class is rare, most false alarms hide in the "
            "ROC's left edge: look at precision and recall there. The average precision of a score that knows nothing "
            "is the share of the class.",
        ),
        "areas": (
            "How well the heads rank pixels",
            "How well p sorts pixels with the class before those without, over all thresholds at once and blind to "
            "calibration, with 95% intervals from resampling images. What a head lacks here no threshold brings back.",
        ),
        "threshold_costs": (
            "Expected cost",
            "Mean cost of a pixel's false alarms and misses, in the units of the two costs. The Bayes threshold, cost "
            "of a false positive over the sum of both, is the cheapest if p is calibrated; the cheapest one on "
            "validation needs no such trust. Below the dotted line the model is worth having: it is the cost of "
            "calling the class everywhere or nowhere, whichever is less. Differences are paired, on the same resampled"
            " images.",
        ),
        "selective": (
            "Keeping only the surest pixels",
            "Keep only the surest pixels, left few of them, right all: how many of those kept are wrong? Confidence is"
            " the largest p, or for one class how far p is from 0.5, which also decides. The lower the curve, the "
            "better a head knows what it does not know; the area under it is its mean.",
        ),
    },
    "losses": {
        "losses": (
            "Every run and head",
            "Each group is a run, each colour a head. Hollow points are the outputs as trained, filled ones the same "
            "with thresholds tuned, or a temperature fitted, on validation. Lines are 95% intervals of each value; "
            "differences are surer than they look here, because the same images are drawn for all.",
        ),
        "effects": (
            "What moves the results",
            "How much better one level of a choice is than another, averaged over all else (diamond), with the "
            "interval of the paired difference; below it the parts it is the mean of, and what is left once thresholds"
            " are tuned or a temperature is fitted. Inside the grey band it is too small to matter in practice; only "
            "rows that lie wholly beyond it are strongly drawn. Of a choice with several levels the widest pair is "
            "shown, with an interval that allows for that.",
        ),
    },
    "images": {
        "images": (
            "Labels on an image",
            "The same place several times: the truth and what each head makes of it. Wheel, pinch or plus and minus "
            "zoom all pictures, dragging moves them; point at a pixel to read its probabilities. Of two heads, Errors "
            "begins with where they differ: a head's colour marks the pixels that this head alone gets right. The "
            "slider decides anew what counts as a label; every picture and number of this image follows.",
        ),
        "confidence": (
            "Confidence",
            "Light is sure, dark is unsure. For exclusive truth it is the largest probability of a pixel; otherwise "
            "how far the least certain class is from a coin toss.",
        ),
        "image_scores": (
            "Scores of each image",
            "Scores of each image, in the order of the list above.",
        ),
    },
    "runs": {
        "runs": (
            "Runs side by side",
            "Each head's value in each run and, beside it, sigmoid minus the other head within each run that has both,"
            " with 95% intervals. The difference is paired, on the same images, so it is surer than the values look. "
            "Of runs on different data only differences can be compared: what is hard in one data set may be easy in "
            "another.",
        ),
        "learning": (
            "Training",
            "A line for each head and seed. The ring marks the epoch whose weights were kept, the best on validation. "
            "Losses of different heads have different scales (at the start a cross-entropy over C classes is near ln "
            "C, a binary one near ln 2), so compare their shapes, not their heights.",
        ),
    },
}
TITLES: Final = {name: title for figures in BY_PAGE.values() for name, (title, _) in figures.items()}
HOW_TO_READ: Final = {name: text for figures in BY_PAGE.values() for name, (_, text) in figures.items()}
PAGE_OF: Final = {name: page for page, figures in BY_PAGE.items() for name in figures}
