"""What the first reader would wait for, done while the server starts: the first page's modules and its numbers."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import to_thread

from dashboard import boundary, upload

_lock: Final = threading.Lock()


def load_parts() -> None:
    """Import what the first page needs; who comes while another thread is at it waits for that one.

    Two threads that import parts of one package in different orders can see modules that are half there.
    """
    with _lock:
        from dashboard import components, elements, manage, queries, state
        from dashboard.displays import verdict

        _ = components, elements, manage, queries, state, verdict


def prepare() -> None:
    """Import what the first page needs, and look its newest run up. A run that cannot be read is told on the page."""
    try:
        load_parts()
        from dashboard import queries
        from pipelines.judgement import Margin
        from pipelines.store.runs import open_run
        from pipelines.verdict.rule import judge

        for name in queries.runs.run_names()[:1]:
            run = open_run(queries.runs.runs_folder(), name)
            judge(queries.runs.evidence(run), Margin())
            for head in run.heads:
                queries.runs.ingredients(run, head, None)
    except Exception as error:  # nobody waits for this thread: the page meets the same error, and shows it
        boundary.line_of(error, failed="The preparation of the first page")


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """For `st.App`: prepares in the background, and looks after uploads for as long as the server runs."""
    task = asyncio.create_task(to_thread.run_sync(prepare))
    async with upload.lifespan(app):
        yield
    task.cancel()
