"""Commands that rename runs, put them in the trash, take them back and empty it."""

from typing import Annotated

import typer

from pipelines.options import RUNS, Runs
from pipelines.sentences import size_in_words
from pipelines.store import delete_run, empty_trash, list_trash, rename_run, restore_run, trash_bytes

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")]


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    runs: Runs = RUNS,
) -> None:
    """Give RUN another name."""
    rename_run(runs, name, new)
    typer.echo(f"{name} is called {new} now")


@app.command()
def delete(name: Name, runs: Runs = RUNS) -> None:
    """Put RUN in the trash, from where `restore` takes it back."""
    entry = delete_run(runs, name)
    typer.echo(f"{name} is in the trash; take it back with `python -m pipelines restore {entry}`")


@app.command()
def trash(
    runs: Runs = RUNS,
    empty: Annotated[bool, typer.Option("--empty", help="Remove everything in it for good.")] = False,
) -> None:
    """List what is in the trash, last deleted first, or empty it."""
    if empty:
        typer.echo(f"the trash of {runs} is empty; {size_in_words(empty_trash(runs))} are free again")
        return
    found = list_trash(runs)
    width = max((len(one.entry) for one in found), default=0)
    for one in found:
        size, state = size_in_words(one.bytes), "" if one.whole else "  damaged or half removed"
        typer.echo(f"{one.entry.ljust(width)}  {one.deleted:%Y-%m-%dT%H:%M:%SZ}  {size:>7}{state}")
    if found:
        typer.echo(f"`python -m pipelines trash --empty` gives back {size_in_words(trash_bytes(runs))}", err=True)
    else:
        typer.echo(f"the trash of {runs} is empty", err=True)


@app.command()
def restore(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Entry of the trash, as `trash` lists it.")],
    runs: Runs = RUNS,
    name: Annotated[
        str | None, typer.Option(help="Name to give it; default: its own, with a number if that is taken.")
    ] = None,
) -> None:
    """Take a run out of the trash."""
    typer.echo(f"{restore_run(runs, entry, name)} is back in {runs}")
