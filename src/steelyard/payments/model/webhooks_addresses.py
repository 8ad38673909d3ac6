"""Where webhooks may be sent: to servers of the open internet, never into anybody's own network.

A merchant names an address and we call it: without care he could make us call our own machines, or
a cloud's keeper of secrets (169.254.169.254). What counts is the address that is connected to, not
the name that was given; so a name is looked up once, and what was checked is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from steelyard.payments.model.webhooks_refusals import (
    WebhookAddressIsForbidden,
    WebhookEndpointIsMalformed,
)

_MOST_URL: Final = 500
_WEB_PORTS: Final = frozenset({80, 443})
_LEAST_PORT: Final = 1_024
_TRANSLATED: Final = tuple(
    ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)
"""NAT64 (RFC 6052, RFC 8215) and what was once IPv4-compatible: the last 32 bits are an IPv4."""


_NEVER_4: Final = tuple(
    ipaddress.IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")
)
_NEVER_6: Final = tuple(ipaddress.IPv6Network(net) for net in ("2001::/23", "5f00::/16"))
"""Nets of protocols: what the registries call global in them is no merchant's server either."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far webhooks go.

    Attributes
    ----------
    plain : whether http is taken beside https
    loopback : whether this very machine may be called, as tests and the simulated town do
    """

    plain: bool = False
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An address of the web, taken apart.

    Attributes
    ----------
    path : with the query
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == own else f"{host}:{self.port}"


def read_url(url: str, reach: Reach) -> Target:
    """Return an address taken apart, if its form is one that webhooks go to.

    Refusals
    --------
    webhook_endpoint_is_malformed : no address of the web, one with a password or a fragment, a
        port below 1024 that is not the web's own, http where that is not allowed

    Examples
    --------
    >>> read_url("https://shop.example/hooks?x=1", Reach())
    Target(scheme='https', host='shop.example', port=443, path='/hooks?x=1')
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise WebhookEndpointIsMalformed(reason="it is no address of the web") from None
    if parts.scheme not in ("https", "http") or not host or len(url) > _MOST_URL:
        raise WebhookEndpointIsMalformed(reason="it is no address of the web")
    if parts.scheme == "http" and not reach.plain:
        raise WebhookEndpointIsMalformed(reason="only https is taken")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise WebhookEndpointIsMalformed(reason="it has a user or a fragment")
    if any(char.isspace() or not char.isprintable() for char in url):
        raise WebhookEndpointIsMalformed(reason="it has blanks")
    if port is not None and port not in _WEB_PORTS and port < _LEAST_PORT:
        raise WebhookEndpointIsMalformed(reason=f"port {port} is not one of web servers")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = 443 if parts.scheme == "https" else 80
    return Target(parts.scheme, host, own if port is None else port, path)


def choose_address(host: str, found: Sequence[str], reach: Reach) -> str:
    """Return the address to connect to, of those that a name has.

    Refusals
    --------
    webhook_address_is_forbidden : the name has none, or one that is not of the open internet; one
        such among good ones is enough, because it is a sign of an attack

    Examples
    --------
    >>> choose_address("shop.example", ["8.8.8.8"], Reach())
    '8.8.8.8'
    """
    if not found:
        raise WebhookAddressIsForbidden(host=host, reason="the name has no address")
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        is_own = reach.loopback and _is_loopback(address)
        if not is_own and not is_public(address):
            raise WebhookAddressIsForbidden(host=host, reason="not of the open internet")
    return found[0]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is a host's of the open internet.

    An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is as public as that.

    Examples
    --------
    >>> is_public(ipaddress.ip_address("169.254.169.254"))
    False
    >>> is_public(ipaddress.ip_address("::ffff:10.0.0.1"))
    False
    """
    if address.is_multicast or address.is_unspecified or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in net for net in _NEVER_4)
    if address.is_site_local or any(address in net for net in _NEVER_6):
        return False
    return all(is_public(inner) for inner in _carried(address))


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _carried(address: IPv6Address) -> list[IPv4Address]:
    inner = [address.ipv4_mapped, address.sixtofour]
    if any(address in net for net in _TRANSLATED):
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inner if one is not None]
