"""Command lines in this process: what they say, and the jobs that they become."""

import contextlib
import io
from typing import NamedTuple
from unittest import mock

from places import REPO

from pipelines import cli, jobs
from pipelines.options import parse


class Answer(NamedTuple):
    """What a command line ended with."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments):
    """`python -m pipelines` with these arguments, started in the project's folder.

    A process of its own takes seconds to load its libraries; what only such a process can show is tested by name.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["pipelines", *map(str, arguments)]),
        contextlib.chdir(REPO),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            return Answer(end.code or 0, out.getvalue(), err.getvalue())
    raise AssertionError("a command line ends with a status")


def start(words, runs, **options):
    """Put the request of a command line in line, as `python -m pipelines jobs start` does."""
    return jobs.start(parse([str(word) for word in words])[0], runs, **options)
