"""Command lines to jobs, as `python -m pipelines jobs start` makes them."""

from pipelines import jobs
from pipelines.options import parse


def start(words, runs, **options):
    """Put the request of a command line in line."""
    return jobs.start(parse([str(word) for word in words])[0], runs, **options)
