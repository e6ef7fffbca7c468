"""nnU-Net raw data sets, with volumes cut into slices."""
