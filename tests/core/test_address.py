"""What is this machine and nobody else."""

import pytest

from keystead.core.address import is_loopback, leads_here


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, *, here: bool) -> None:
    """By name or address, and no other name is looked up."""
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8080/a", True),
        ("https://[::1]/", True),
        ("https://issuer.example/localhost", False),
        ("https://[x", False),
        ("", False),
    ],
)
def test_which_urls_lead_to_this_machine(url: str, *, here: bool) -> None:
    """What is no URL leads nowhere."""
    assert leads_here(url) is here
