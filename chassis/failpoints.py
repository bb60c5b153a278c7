"""Named places where a test kills the process, to show what a crash there leaves behind."""

import os
import signal

_ARMED: set[str] = set()


def arm(names: str, *, allowed: bool) -> None:
    """Arm the comma-separated failpoints.

    Raises: RuntimeError when failpoints are named outside test settings.
    """
    _ARMED.clear()
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    if wanted and not allowed:
        raise RuntimeError("FAILPOINT is set, but ENVIRONMENT is not 'test': unset FAILPOINT")
    _ARMED.update(wanted)


def failpoint(name: str) -> None:
    """Die here by SIGKILL if `name` is armed; otherwise do nothing."""
    if name in _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
