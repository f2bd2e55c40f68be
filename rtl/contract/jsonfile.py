"""JSON that someone else wrote: whatever is wrong with it, one kind of error says so."""

import json
from pathlib import Path

from hayate.rtl.contract.errors import HayateError


def parse_json(text):
    """Value of a JSON text, str or bytes. Raises ValueError for what is none, or is nested deeper than can be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path, remedy):
    """Value of a JSON file. Raises FileNotFoundError; HayateError, with `remedy`, for one that cannot be read or is
    none.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as e:
        raise HayateError(path, "", f"not a readable JSON file ({e})", remedy) from None
