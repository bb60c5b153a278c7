"""What a one-shot command is told: by the environment, or by a file of the folder `SECRETS_DIR`."""

import os
from collections.abc import Mapping
from pathlib import Path


class NotTold(Exception):
    """A setting is missing or cannot be read; the message is one line that names it."""


def told(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The value of a setting; what the environment says wins over the file.

    Raises: NotTold.
    """
    if value := environment.get(name, "").strip():
        return value
    folder = environment.get("SECRETS_DIR", "")
    if not folder:
        raise NotTold(f"{name} is not set")
    path = Path(folder) / name
    try:
        value = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NotTold(f"{name} is not set, and {path} cannot be read: {reason}") from error
    if not value:
        raise NotTold(f"{name} is not set, and {path} is empty")
    return value
