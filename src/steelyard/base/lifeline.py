"""A child process ends with its supervisor, however the supervisor went."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

LIFELINE = "STEELYARD_LIFELINE"


def stop_with_parent(stop: Callable[[], None] | None = None) -> None:
    """Stop this process when its supervisor is gone; called by every child as it starts.

    Parameters
    ----------
    stop : what to do then; by default the process sends itself SIGTERM
    """
    lifeline = os.environ.get(LIFELINE)
    if lifeline is None:
        return

    def watch() -> None:
        while os.read(int(lifeline), 1):
            pass
        if stop is not None:
            stop()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
