"""Cash flows: day counts, schedules, accrual, allocation and annualised rates; pure mathematics.

`plan` and `run` are the only makers of schedules: preview, booking, day close and replay all call
them.
"""

from __future__ import annotations

__all__: list[str] = []
