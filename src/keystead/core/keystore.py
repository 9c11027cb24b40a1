"""Custom key stores: where the material of some keys is kept outside this service.

An ``EXTERNAL_KEY_STORE`` is a key manager of the customer's behind an XKS proxy (AWS KMS External Key Store
Proxy API, version 1.0.3). Keys in it are used by asking that proxy each time; turn it off, and they are dead.
"""

from dataclasses import dataclass
from enum import StrEnum

from keystead.core.key import binding


class Kind(StrEnum):
    """AWS's CustomKeyStoreType."""

    AWS_CLOUDHSM = "AWS_CLOUDHSM"
    EXTERNAL_KEY_STORE = "EXTERNAL_KEY_STORE"


class Connection(StrEnum):
    """AWS's ConnectionState."""

    CONNECTED = "CONNECTED"
    CONNECTING = "CONNECTING"
    FAILED = "FAILED"
    DISCONNECTED = "DISCONNECTED"
    DISCONNECTING = "DISCONNECTING"


class Problem(StrEnum):
    """Why an external key store cannot be connected: AWS's ConnectionErrorCode."""

    CREDENTIAL = "INVALID_CREDENTIALS"  # the proxy does not know the access key, or its secret
    DENIED = "XKS_PROXY_ACCESS_DENIED"
    CONFIGURATION = "XKS_PROXY_INVALID_CONFIGURATION"  # the proxy does not serve that path
    RESPONSE = "XKS_PROXY_INVALID_RESPONSE"  # it answers what the XKS API does not have
    UNREACHABLE = "XKS_PROXY_NOT_REACHABLE"  # nothing listens there, or all of its key managers are down
    TIMEOUT = "XKS_PROXY_TIMED_OUT"
    TLS = "XKS_PROXY_INVALID_TLS_CONFIGURATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStore:
    """One custom key store. Its secret is kept wrapped by the custodian."""

    id: str  # "cks-" and 17 hex digits
    account: str
    region: str
    name: str
    kind: Kind
    created: float
    connection: Connection = Connection.DISCONNECTED
    connection_error: str = ""  # AWS's ConnectionErrorCode, while the connection is FAILED
    endpoint: str = ""  # https://host[:port]
    path: str = ""  # ends in /kms/xks/v1
    connectivity: str = ""  # PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE
    vpc_service: str = ""
    vpc_owner: str = ""
    access_key_id: str = ""
    protected: str = ""  # the proxy credential's secret
    cluster: str = ""  # of AWS_CLOUDHSM
    trust_anchor: str = ""

    @property
    def ref(self) -> str:
        """Its name in the change feed."""
        return self.id


def credential_binding(key_store_id: str) -> bytes:
    """What ties a proxy credential's wrapped secret to its key store (see `keystead.core.key.binding`)."""
    return binding("xks-credential", key_store_id)
