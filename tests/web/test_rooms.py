"""What a process that only imports the rooms knows."""

from __future__ import annotations

import subprocess
import sys

_ALONE = """
from steelyard.events.service.consumers import check_consumers
from steelyard.web.rooms import CONSUMERS
check_consumers(CONSUMERS)
print(len(CONSUMERS))
"""


def test_every_fact_that_a_consumer_hears_is_entered_by_the_rooms_alone() -> None:
    done = subprocess.run([sys.executable, "-c", _ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 2
