"""A run to the names of the files that are made of it."""

from pipelines.store import Run


def report_name(run: Run) -> str:
    """File name of the report."""
    return f"{run.name}-report.html"


def tables_name(run: Run) -> str:
    """Name of the folder of tables."""
    return f"{run.name}-tables"
