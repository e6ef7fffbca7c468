"""Text, JSON and colours from files to HTML that they cannot break out of."""

import html
import json
import re
from typing import Any, Final

from plotly.utils import PlotlyJSONEncoder

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")


def escaped(text: object) -> str:
    """Text that HTML shows as it stands, in elements and in quoted attributes; what it cannot hold becomes "\ufffd"."""
    return html.escape(_CONTROL.sub("\ufffd", str(text)), quote=True)


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever its strings say."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    # In JSON these stand only inside strings; U+2028 and U+2029 end a line in old JavaScript.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _CONTROL.sub("\ufffd", text)


def safe_color(color: str) -> str:
    """A colour of the form "#rrggbb"; grey for anything else, since it comes from a file."""
    return color if _COLOR.fullmatch(color) else "#888888"
