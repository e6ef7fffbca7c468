"""Runs of one data set with several losses: what head, loss, threshold and temperature each move."""
