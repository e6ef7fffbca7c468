"""Tables into a page of the documentation, between its markers."""

from collections.abc import Mapping

from pipelines.errors import ShapeError


def into_page(page: str, found: Mapping[str, str], *, name: str) -> str:
    """The page with each table between <!-- table: NAME --> and <!-- end -->; name: of the page, for messages.

    Raises ShapeError without a table's markers.
    """
    for table_name, table in found.items():
        start, end = f"<!-- table: {table_name} -->", "<!-- end -->"
        before, marker, rest = page.partition(start)
        _, closing, after = rest.partition(end)
        if not marker or not closing:
            raise ShapeError(f"{name} has no '{start}' … '{end}'; put both where the table belongs")
        page = f"{before}{start}\n{table}\n{end}{after}"
    return page
