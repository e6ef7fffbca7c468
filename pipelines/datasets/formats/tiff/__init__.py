"""TIFF files of any number of channels."""
