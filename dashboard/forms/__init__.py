"""Forms that fill requests: a training, an import, the description and check of a data set; and the jobs they start."""
