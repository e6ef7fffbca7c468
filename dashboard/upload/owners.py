"""Whoever is looking to the owner of their uploads: the login if there is one, else the browser, else the session."""

import hashlib
import re
import secrets
from typing import Any, Final

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "upload_owner"
_COOKIE_DAYS: Final = 30
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SESSION: Final = "upload_owner"


def owner() -> str:
    """SHA-256, hex, of who is looking; to be asked while a page is drawn."""
    user: Any = st.user
    if user.get("is_logged_in"):
        return _hashed("login", str(user.get("iss", "")), str(user.get("sub") or user.get("email")))
    cookie: Any = st.context.cookies.get(COOKIE)  # no text where the app is tested without a browser
    if isinstance(cookie, str) and _SECRET.fullmatch(cookie):
        return _hashed("browser", cookie)
    return _hashed("session", st.session_state.setdefault(_SESSION, secrets.token_urlsafe(32)))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class OwnerCookie:
    """Gives each browser a secret of its own with the first page, so that a reload finds its uploads again.

    Scripts in the page cannot read it, and other sites' requests do not carry it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and put the cookie on a page that is sent to a browser without one."""
        if scope["type"] != "http" or _SECRET.fullmatch(HTTPConnection(scope).cookies.get(COOKIE, "")):
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie(secure=_is_secure(scope)))
            await send(message)

        await self._app(scope, receive, with_cookie)


def _is_secure(scope: Scope) -> bool:
    return scope["scheme"] == "https" or HTTPConnection(scope).headers.get("x-forwarded-proto") == "https"


def _cookie(*, secure: bool) -> str:
    age = _COOKIE_DAYS * 86_400
    kept = f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax"
    return f"{kept}; Secure" if secure else kept
