"""Requests that carry a file piece by piece to uploads on disk; memory holds at most one block of each.

    POST   /upload        {"name", "size", "stamp"}   begin, or go on with what was broken off
    PUT    /upload/<id>?offset=N                       the next piece, as the body
    GET    /upload/<id>                                how it stands
    DELETE /upload/<id>                                cancel, or delete

Each needs the header X-Upload-Token with a token that a page has handed out, and must come from a page of this server.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit import config

from dashboard.boundary import line_of
from dashboard.upload.owners import OwnerCookie
from dashboard.upload.tokens import Permit, permit_of
from pipelines.errors import PipelineError, UploadError
from pipelines.store import files
from pipelines.uploads import Quota, Receiver, Upload, Uploads, receiving
from pipelines.uploads.limits import MIB

TOKEN: Final = "x-upload-token"
HOSTS: Final = "PIPELINES_HOSTS"
PIECE: Final = 8 * MIB  # bytes a browser sends at a time
_LARGEST_PIECE: Final = 64 * MIB
_LARGEST_QUESTION: Final = 8_192  # bytes
_BLOCK: Final = MIB  # bytes gathered before they are written
_PATIENCE: Final = 60.0  # seconds without a byte before a connection is given up
_SWEEP_EVERY: Final = 3_600.0  # seconds
_STATUS: Final = {
    "UPLOAD-UNKNOWN": 404, "UPLOAD-GONE": 404, "UPLOAD-OFFSET": 409, "UPLOAD-BUSY": 409, "UPLOAD-STATE": 409,
    "UPLOAD-IN-USE": 409, "UPLOAD-SIZE": 413, "UPLOAD-LENGTH": 413, "UPLOAD-KIND": 415, "UPLOAD-QUOTA": 507,
    "DISK-FULL": 507, "STORE-FAILED": 507, "TOKEN": 401, "ORIGIN": 403, "LENGTH": 411, "REQUEST": 400,
}  # fmt: skip


def uploads() -> Uploads:
    """The workspace of the runs folder that the app shows."""
    from dashboard.queries.runs import runs_folder  # its caches want a server that is there

    return Uploads(runs_folder(), Quota.from_environment())


def address(name: str = "upload") -> str:
    """Path on this server of a name, such as that of these requests."""
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}/{name}" if base else f"/{name}"


def routes() -> list[Route]:
    """For `st.App`."""
    return [
        Route(address(), _answering(_begin), methods=["POST"]),
        Route(f"{address()}/{{id}}", _answering(_look), methods=["GET"]),
        Route(f"{address()}/{{id}}", _answering(_receive), methods=["PUT"]),
        Route(f"{address()}/{{id}}", _answering(_delete), methods=["DELETE"]),
    ]


def middleware() -> list[Middleware]:
    """For `st.App`: a secret for each browser, and only the host names in PIPELINES_HOSTS if that is set."""
    hosts = [name.strip() for name in os.environ.get(HOSTS, "").split(",") if name.strip()]
    named = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)] if hosts else []
    return [*named, Middleware(OwnerCookie)]


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """For `st.App`: what is too old is deleted at the start and every hour."""
    task = asyncio.create_task(_sweep_for_ever())
    try:
        yield
    finally:
        task.cancel()


async def _sweep_for_ever() -> None:
    while True:
        try:
            await to_thread.run_sync(lambda: uploads().sweep())
        except Exception as error:  # the next hour tries again
            print(line_of(error, failed="The deletion of old uploads"))
        await asyncio.sleep(_SWEEP_EVERY)


def _answering(work: Callable[[Request, Permit], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """A route that lets in whom it should, and tells every refusal as JSON."""

    async def answer(request: Request) -> Response:
        try:
            permit = await to_thread.run_sync(_permit, request)
            return _json(await work(request, permit))
        except PipelineError as error:
            code = str(error).partition(":")[0]
            return _json({"message": str(error)}, _STATUS.get(code, 400))
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:
            return _json({"message": line_of(error, failed="The upload")}, 500)

    return answer


def _json(content: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(content, status_code=status, headers={"cache-control": "no-store"})


def _permit(request: Request) -> Permit:
    _check_origin(request)
    permit = permit_of(uploads().key(), request.headers.get(TOKEN, ""))
    if permit is None:
        raise UploadError("TOKEN: this page is too old to upload from. Reload it and choose the file again.")
    return permit


def _check_origin(request: Request) -> None:
    """A page of another site must not upload in a reader's name, even if it got hold of a token."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    same = origin is None or urlsplit(origin).netloc == host
    if not same or site != "same-origin":
        raise UploadError("ORIGIN: uploads are taken from this server's own pages only. Open the app and upload there.")


def _length(request: Request, most: int) -> int:
    text = request.headers.get("content-length", "")
    if not text.isascii() or not text.isdigit():
        raise UploadError("LENGTH: the request does not say how many bytes it brings. Send a Content-Length.")
    length = int(text)
    if length > most:
        raise UploadError(
            f"UPLOAD-LENGTH: one request may bring {most} bytes, this brings {length}. Send smaller pieces."
        )
    return length


async def _begin(request: Request, permit: Permit) -> dict[str, Any]:
    _length(request, _LARGEST_QUESTION)
    try:
        asked = json.loads(await request.body())
        name, size, stamp = asked["name"], asked["size"], asked.get("stamp", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        name = size = stamp = None
    if not (isinstance(name, str) and type(size) is int and isinstance(stamp, str) and name.isprintable()):
        raise UploadError("REQUEST: the request names no file and size. Reload the page and choose the file again.")
    made = await to_thread.run_sync(
        lambda: uploads().begin(name[-255:], size, permit.owner, kinds=permit.kinds, stamp=stamp[:40])
    )
    return _said(made)


async def _look(request: Request, permit: Permit) -> dict[str, Any]:
    return _said(await _found(request, permit))


async def _delete(request: Request, permit: Permit) -> dict[str, Any]:
    upload = await _found(request, permit)
    await to_thread.run_sync(lambda: uploads().remove(upload))
    return {}


async def _found(request: Request, permit: Permit) -> Upload:
    id = request.path_params["id"]
    return await to_thread.run_sync(lambda: uploads().find(id, permit.owner))


async def _receive(request: Request, permit: Permit) -> dict[str, Any]:
    length = _length(request, _LARGEST_PIECE)
    offset = request.query_params.get("offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
        raise UploadError("REQUEST: the request does not say where its bytes belong. Reload the page and try again.")
    workspace, upload = uploads(), await _found(request, permit)
    with ExitStack() as stack:
        receiver = await to_thread.run_sync(lambda: stack.enter_context(receiving(workspace, upload, int(offset))))
        try:
            await _pour(request, receiver, length)
        finally:  # closing a whole upload makes it durable, which takes its time
            await asyncio.shield(asyncio.ensure_future(to_thread.run_sync(stack.close)))
    return await _look(request, permit)


async def _pour(request: Request, receiver: Receiver, length: int) -> None:
    """What has come is written even if the rest never does: the browser asks for the offset and goes on from there."""
    gathered, stream = bytearray(), aiter(request.stream())
    try:
        while length > 0:
            async with asyncio.timeout(_PATIENCE):
                piece = await anext(stream, b"")
            if not piece:
                break
            gathered += piece
            length -= len(piece)
            if len(gathered) >= _BLOCK:
                await to_thread.run_sync(receiver.write, bytes(gathered))
                gathered.clear()
    except TimeoutError:
        raise ClientDisconnect from None
    finally:
        if gathered:
            await to_thread.run_sync(receiver.write, bytes(gathered))


def _said(upload: Upload) -> dict[str, Any]:
    """What the browser is told of an upload."""
    said: dict[str, Any] = {"id": upload.id, "state": upload.state, "offset": upload.received, "size": upload.bytes}
    if upload.state == "unpacking":
        said["unpacked"] = _share(upload)
    return said | {"message": upload.message, "piece": PIECE}


def _share(upload: Upload) -> float:
    """How much of the archive is unpacked, 0 to 1."""
    try:
        stands = files.read_json(upload.folder / "progress.json")
        return min(float(stands["done"]) / max(float(stands["total"]), 1.0), 1.0)
    except (PipelineError, KeyError, TypeError, ValueError):
        return 0.0
