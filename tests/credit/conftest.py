"""The processes outside, one of each for the whole run of a worker."""

from __future__ import annotations

from tests.credit.outside import bureau_url as bureau_url
from tests.credit.outside import gateway_url as gateway_url
