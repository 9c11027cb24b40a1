"""Network addresses, as far as they say whether somebody else is there."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host, by its name or address, is this machine for this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def leads_here(url: str) -> bool:
    """Whether a URL leads to this machine's loopback interface."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:  # brackets that hold no address: it leads nowhere
        return False
