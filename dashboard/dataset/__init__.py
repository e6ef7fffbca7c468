"""Parts of the page Data: which data set, its table of classes, its splits, a preview, and the check."""
