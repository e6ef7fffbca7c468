"""One module a format of data sets; each has a FORMAT: how to know a folder, how to open it, and its options."""
