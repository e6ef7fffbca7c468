"""Who somebody is and what they may upload to a token that a page hands out, and back; nobody else can make one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LIFE: Final = 86_400  # seconds
_STEP: Final = 3_600  # seconds: a page drawn again within the hour hands out the same token


@dataclass(frozen=True)
class Permit:
    """owner: SHA-256, hex. kinds: endings of the files that are welcome."""

    owner: str
    kinds: tuple[str, ...]


def issue(key: bytes, owner: str, kinds: Sequence[str], *, now: float | None = None) -> str:
    """A token, good for about a day: what it says, and a seal over that. Letters, digits, '_', '-', '.' and '='."""
    until = (int(time.time() if now is None else now) // _STEP + 1) * _STEP + LIFE
    said = base64.urlsafe_b64encode(json.dumps([owner, list(kinds), until]).encode()).decode()
    return f"{said}.{_seal(key, said)}"


def permit_of(key: bytes, token: str, *, now: float | None = None) -> Permit | None:
    """What a token allows; None when it is not ours or too old."""
    said, _, seal = token.partition(".")
    if not hmac.compare_digest(_seal(key, said).encode(), seal.encode()):
        return None
    owner, kinds, until = json.loads(base64.urlsafe_b64decode(said))
    return Permit(owner, tuple(kinds)) if (time.time() if now is None else now) < until else None


def _seal(key: bytes, said: str) -> str:
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()
