"""Channels: one file for each way in which money is moved outside, behind the six verbs.

`KINDS` says how an adaptor is made of a stored channel: factory(code, settings, time-out in seconds
of one call). What `settings` holds is the adaptor's own; its secrets are among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from steelyard.payments.model.channel import Channel

__all__ = ["KINDS", "Factory", "later"]

Factory = Callable[[str, Mapping[str, str], float], Channel]


def later(module: str, name: str) -> Factory:
    """Return a factory that loads its adaptor when the first channel of its kind is made.

    Parameters
    ----------
    module : of this package; name : of the factory in it
    """

    def make(code: str, settings: Mapping[str, str], timeout: float) -> Channel:
        found = getattr(import_module(f"{__name__}.{module}"), name)
        return cast("Factory", found)(code, settings, timeout)

    return make


KINDS: dict[str, Factory] = {
    "alipay": later("alipay", "AlipayChannel"),
    "bank_file": later("bank_file", "BankFileChannel"),
    "iso8583": later("iso8583", "Iso8583Channel"),
    "uni": later("uni", "UniChannel"),
    "wechat": later("wechat", "WeChatChannel"),
}
"""Adaptors by the kind of a channel."""
