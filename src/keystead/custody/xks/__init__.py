"""Keys behind XKS proxies: the client of the AWS KMS External Key Store Proxy API, version 1.0.3.

An external key store's keys are in somebody's key manager, and a small HTTPS server, the *proxy*, uses them for us: it
encrypts, decrypts, says what a key is and how it feels. We never see such a key, so its owner can take it away at any
time. What goes to the proxy is sealed by a key of ours already, so neither side can read anything alone.

    breaker.py   asks a proxy that has failed several times in a row no more, for a moment
    wire.py      one HTTPS request within one deadline, over connections that are kept
    client.py    the four calls of the API, and what each of their answers means to us

The specification is ``xks_proxy_api_spec.md`` of aws/aws-kms-xksproxy-api-spec, cited as *XKS* by section.
"""

from keystead.custody.xks.client import Client
from keystead.custody.xks.wire import trust

__all__ = ["Client", "trust"]
