"""Custom key stores: registering one, connecting and disconnecting it, and which keys may be made in it.

A key store in state CONNECTED has answered a health check when it was connected; its keys may be used then, and only
then. What asks its proxy is done in an action's first part (`keystead.service.action.Action.before`), outside the
transaction, so nobody waits for a slow proxy but who asks for it. The second part checks everything again that others
may have changed meanwhile.

AWS asks that a key store be disconnected before most changes, and before it is removed. Connecting a FAILED one needs
a disconnect first, as with AWS.
"""

from dataclasses import replace
from typing import Final, NamedTuple, cast

from keystead.core.errors import (
    ClusterNotFound,
    InvalidRequest,
    KeysteadError,
    KeyStoreHasKeys,
    KeyStoreInvalidState,
    KeyStoreNameInUse,
    KeyStoreNotFound,
    LimitExceeded,
    UnsupportedOperation,
    XksIncorrectCredential,
    XksInvalidConfiguration,
    XksInvalidResponse,
    XksKeyInUse,
    XksUriInUse,
    XksUriUnreachable,
)
from keystead.core.key import Origin
from keystead.core.keystore import Connection, KeyStore, Kind, Problem, credential_binding
from keystead.core.ports import Outside
from keystead.core.spec import SYMMETRIC
from keystead.service.commands import kms as c
from keystead.service.desk import Desk
from keystead.service.results import Done
from keystead.service.results.kms import KeyStoreCreated, KeyStorePage

PUBLIC: Final = "PUBLIC_ENDPOINT"
VPC: Final = "VPC_ENDPOINT_SERVICE"
AT_ONCE: Final = 1000
CUSTOM: Final = (Origin.EXTERNAL_KEY_STORE, Origin.AWS_CLOUDHSM)

_PROBLEMS: Final[dict[Problem, tuple[type[KeysteadError], str]]] = {
    Problem.CREDENTIAL: (
        XksIncorrectCredential,
        "The external key store proxy does not accept the access key id or the secret access key.",
    ),
    Problem.DENIED: (
        XksInvalidResponse,
        "The external key store proxy denies a health check, which it must not.",
    ),
    Problem.CONFIGURATION: (
        XksInvalidConfiguration,
        "The external key store proxy does not serve this XksProxyUriPath.",
    ),
    Problem.RESPONSE: (
        XksInvalidResponse,
        "The external key store proxy answers something that the XKS API does not have.",
    ),
    Problem.UNREACHABLE: (
        XksUriUnreachable,
        "The external key store proxy cannot be reached, or none of its key managers is available.",
    ),
    Problem.TIMEOUT: (XksUriUnreachable, "The external key store proxy has not answered in time."),
    Problem.TLS: (
        XksUriUnreachable,
        "No TLS 1.2 or 1.3 with the external key store proxy: its certificate must be of a trusted authority.",
    ),
}


class Prepared(NamedTuple):
    """What the first part has seen and made ready."""

    key_store: KeyStore
    problem: Problem | None = None


# --- registering -----------------------------------------------------------------------------------------


def prepare_key_store(command: c.CreateCustomKeyStore, desk: Desk) -> Prepared:
    """See that the proxy answers, and wrap the secret."""
    desk.allow("kms:CreateCustomKeyStore")
    key_store = _new(command, desk)
    _check_free(key_store, desk)
    _check_proxy(key_store, command.secret.encode(), "CreateCustomKeyStore", desk)
    binding = credential_binding(key_store.id)
    protected = desk.custodian.protect(desk.account, command.secret.encode(), binding)
    return Prepared(replace(key_store, protected=protected))


def create_key_store(command: c.CreateCustomKeyStore, desk: Desk) -> KeyStoreCreated:
    """Register an external key store; it is not connected yet."""
    desk.allow("kms:CreateCustomKeyStore")
    key_store = replace(cast("Prepared", desk.prepared).key_store, created=desk.now)
    _check_free(key_store, desk)
    desk.tx.put_key_store(key_store)
    desk.entry.subject = f"{key_store.id} {command.name}"
    return KeyStoreCreated(key_store.id)


def prepare_update(command: c.UpdateCustomKeyStore, desk: Desk) -> Prepared:
    """See that the proxy answers under what is new, and wrap a new secret."""
    desk.allow("kms:UpdateCustomKeyStore")
    key_store = _changed(command, _find(command.key_store_id, desk))
    _check_free(key_store, desk)
    if _touches_proxy(command):
        binding = credential_binding(key_store.id)
        secret = command.secret.encode() or desk.custodian.reveal(
            key_store.account, key_store.protected, binding
        )
        _check_proxy(key_store, secret, "UpdateCustomKeyStore", desk)
        if command.secret:
            protected = desk.custodian.protect(key_store.account, secret, binding)
            key_store = replace(key_store, protected=protected)
    return Prepared(key_store)


def update_key_store(command: c.UpdateCustomKeyStore, desk: Desk) -> Done:
    """Change a key store."""
    desk.allow("kms:UpdateCustomKeyStore")
    key_store = _changed(command, _find(command.key_store_id, desk))
    if command.secret:
        key_store = replace(key_store, protected=cast("Prepared", desk.prepared).key_store.protected)
    _check_free(key_store, desk)
    desk.tx.put_key_store(key_store)
    return Done()


def delete_key_store(command: c.DeleteCustomKeyStore, desk: Desk) -> Done:
    """Forget a key store that is disconnected and has no keys; those that wait for their deletion count."""
    desk.allow("kms:DeleteCustomKeyStore")
    key_store = _find(command.key_store_id, desk)
    if key_store.connection is not Connection.DISCONNECTED:
        raise _wrong_state(key_store, "delete")
    if desk.tx.keys_in_store(key_store.id, "", 1):
        raise KeyStoreHasKeys(
            f"The custom key store {key_store.id} holds KMS keys: schedule their deletion, and delete the key store "
            "when they are gone."
        )
    desk.tx.delete_key_store(key_store.id)
    return Done()


def describe_key_stores(command: c.DescribeCustomKeyStores, desk: Desk) -> KeyStorePage:
    """The key stores of the account and Region: all, or the one of that id or name."""
    desk.allow("kms:DescribeCustomKeyStores")
    if command.key_store_id and command.key_store_name:
        raise InvalidRequest("CustomKeyStoreId and CustomKeyStoreName do not go together: give one of them.")
    if command.key_store_id:
        return KeyStorePage([_find(command.key_store_id, desk)], "")
    if command.key_store_name:
        named = [each for each in _all(desk) if each.name == command.key_store_name]
        if not named:
            raise KeyStoreNotFound(f"There is no custom key store named {command.key_store_name}.")
        desk.refs.append(named[0].ref)
        return KeyStorePage(named, "")
    key_stores, marker = desk.page(
        "key-stores",
        command.marker,
        command.limit,
        lambda after, count: desk.tx.key_stores(desk.account, desk.region, after, count),
        lambda key_store: key_store.id,
    )
    return KeyStorePage(key_stores, marker)


# --- connecting ------------------------------------------------------------------------------------------


def prepare_connection(command: c.ConnectCustomKeyStore, desk: Desk) -> Prepared:
    """See how the proxy feels."""
    desk.allow("kms:ConnectCustomKeyStore")
    key_store = _connectable(command, desk)
    if key_store.connection is Connection.CONNECTED:
        return Prepared(key_store)
    secret = desk.custodian.reveal(key_store.account, key_store.protected, credential_binding(key_store.id))
    problem = desk.external.diagnose(key_store, secret, "ConnectCustomKeyStore", desk.caller.request)
    return Prepared(key_store, problem)


def connect_key_store(command: c.ConnectCustomKeyStore, desk: Desk) -> Done:
    """Let the keys of a key store be used, if its proxy has answered; else note what is wrong.

    Succeeds in either case, as with AWS, where the caller asks DescribeCustomKeyStores what has become of it.
    """
    desk.allow("kms:ConnectCustomKeyStore")
    key_store = _connectable(command, desk)
    seen, problem = cast("Prepared", desk.prepared)
    if seen != key_store:
        raise KeyStoreInvalidState(f"The custom key store {key_store.id} has just been changed: try again.")
    if key_store.connection is not Connection.CONNECTED:
        connection = Connection.CONNECTED if problem is None else Connection.FAILED
        desk.tx.put_key_store(
            replace(
                key_store, connection=connection, connection_error="" if problem is None else problem.value
            )
        )
    return Done()


def disconnect_key_store(command: c.DisconnectCustomKeyStore, desk: Desk) -> Done:
    """Stop all use of the keys of a key store; in force when it returns."""
    desk.allow("kms:DisconnectCustomKeyStore")
    key_store = _find(command.key_store_id, desk)
    if key_store.connection is Connection.DISCONNECTED:
        raise _wrong_state(key_store, "disconnect")
    desk.tx.put_key_store(replace(key_store, connection=Connection.DISCONNECTED, connection_error=""))
    return Done()


# --- keys in a key store ---------------------------------------------------------------------------------


def check_new_key(command: c.CreateKey, spec: str, desk: Desk) -> None:
    """Refuse a key that cannot be in its key store; asks the proxy about the external key."""
    key_store = _for_new_key(command, spec, desk)
    if key_store is None:
        return
    secret = desk.custodian.reveal(key_store.account, key_store.protected, credential_binding(key_store.id))
    desk.external.check_key(
        Outside(
            key_store=key_store,
            secret=secret,
            outer_key=command.outer_key,
            key_arn="",  # there is none yet, and this call does not say it (XKS, "GetKeyMetadata")
            principal=desk.caller.identity.arn,
            action="kms:CreateKey",
            request=desk.caller.request,
        )
    )


def claim_outer_key(command: c.CreateKey, spec: str, desk: Desk) -> None:
    """Check again, in the transaction that makes the key, what others may have changed meanwhile."""
    _for_new_key(command, spec, desk)


def _for_new_key(command: c.CreateKey, spec: str, desk: Desk) -> KeyStore | None:
    """The key store for a new key, None for a key that is not to be in one."""
    if command.origin not in CUSTOM:
        if command.key_store or command.outer_key:
            raise InvalidRequest(
                "CustomKeyStoreId and XksKeyId need the Origin EXTERNAL_KEY_STORE, or AWS_CLOUDHSM for the former."
            )
        return None
    if not command.key_store:
        raise InvalidRequest(f"Origin {command.origin} needs a CustomKeyStoreId.")
    if spec != SYMMETRIC:
        raise UnsupportedOperation(f"KeySpec {spec} is not supported in a custom key store.")
    if command.multi_region:
        raise UnsupportedOperation("Multi-Region keys are not supported in a custom key store.")
    key_store = _find(command.key_store, desk)
    if key_store.kind.value != command.origin.value:
        raise InvalidRequest(
            f"Origin {command.origin} does not go with a key store of type {key_store.kind}."
        )
    if not command.outer_key:
        raise InvalidRequest("A key in an external key store needs an XksKeyId.")
    if key_store.connection is not Connection.CONNECTED:
        raise KeyStoreInvalidState(
            f"The custom key store {key_store.id} is {key_store.connection}: connect it and try again."
        )
    after = ""
    while keys := desk.tx.keys_in_store(key_store.id, after, AT_ONCE):
        if any(key.outer_key == command.outer_key for key in keys):
            raise XksKeyInUse(
                f"Another KMS key of the custom key store {key_store.id} has the external key {command.outer_key}."
            )
        after = keys[-1].id
    return key_store


# --- what they share -------------------------------------------------------------------------------------


def _all(desk: Desk) -> list[KeyStore]:
    """All key stores of the account and Region: the quota keeps them few."""
    found: list[KeyStore] = []
    while page := desk.tx.key_stores(desk.account, desk.region, found[-1].id if found else "", AT_ONCE):
        found += page
    return found


def _find(key_store_id: str, desk: Desk) -> KeyStore:
    desk.refs.append(key_store_id)
    key_store = desk.tx.key_store(key_store_id)
    if key_store is None or (key_store.account, key_store.region) != (desk.account, desk.region):
        raise KeyStoreNotFound(f"There is no custom key store with the id {key_store_id}.")
    return key_store


def _connectable(command: c.ConnectCustomKeyStore, desk: Desk) -> KeyStore:
    key_store = _find(command.key_store_id, desk)
    if key_store.connection is Connection.FAILED:
        raise _wrong_state(key_store, "connect")
    return key_store


def _wrong_state(key_store: KeyStore, what: str) -> KeyStoreInvalidState:
    cure = " Disconnect it first." if key_store.connection is not Connection.DISCONNECTED else ""
    return KeyStoreInvalidState(
        f"The custom key store {key_store.id} is {key_store.connection}: cannot {what} it.{cure}"
    )


def _new(command: c.CreateCustomKeyStore, desk: Desk) -> KeyStore:
    """The key store as it is asked for, if it can be one."""
    if command.kind is Kind.AWS_CLOUDHSM:
        raise ClusterNotFound(
            f"There is no HSM cluster {command.cluster or '(none was named)'}: this installation has no HSM custody "
            "configured. Custom key stores of type EXTERNAL_KEY_STORE are supported."
        )
    if command.cluster or command.trust_anchor or command.password:
        raise InvalidRequest(
            "CloudHsmClusterId, TrustAnchorCertificate and KeyStorePassword do not go with EXTERNAL_KEY_STORE."
        )
    needed = {
        "XksProxyUriEndpoint": command.endpoint,
        "XksProxyUriPath": command.path,
        "XksProxyConnectivity": command.connectivity,
        "XksProxyAuthenticationCredential": command.secret,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise InvalidRequest(f"A key store of type EXTERNAL_KEY_STORE needs {', '.join(missing)}.")
    key_store = KeyStore(
        id=f"cks-{desk.random(9).hex()[:17]}",
        account=desk.account,
        region=desk.region,
        name=command.name,
        kind=command.kind,
        created=desk.now,
        endpoint=command.endpoint,
        path=command.path,
        connectivity=command.connectivity,
        vpc_service=command.vpc_service,
        vpc_owner=command.vpc_owner,
        access_key_id=command.access_key_id,
    )
    _check_connectivity(key_store)
    return key_store


def _changed(command: c.UpdateCustomKeyStore, key_store: KeyStore) -> KeyStore:
    """The key store with what is new, if its state allows that."""
    if command.cluster or command.password:
        raise InvalidRequest("CloudHsmClusterId and KeyStorePassword do not go with EXTERNAL_KEY_STORE.")
    moves = command.endpoint or command.connectivity or command.vpc_service or command.vpc_owner
    if not (command.new_name or _touches_proxy(command)):
        raise InvalidRequest("There is nothing to update: give at least one property.")
    state = key_store.connection
    if state is not Connection.DISCONNECTED and (moves or state is not Connection.CONNECTED):
        raise _wrong_state(key_store, "update")
    to_public = command.connectivity == PUBLIC
    key_store = replace(
        key_store,
        name=command.new_name or key_store.name,
        endpoint=command.endpoint or key_store.endpoint,
        path=command.path or key_store.path,
        connectivity=command.connectivity or key_store.connectivity,
        vpc_service=command.vpc_service or ("" if to_public else key_store.vpc_service),
        vpc_owner=command.vpc_owner or ("" if to_public else key_store.vpc_owner),
        access_key_id=command.access_key_id or key_store.access_key_id,
    )
    _check_connectivity(key_store)
    return key_store


def _touches_proxy(command: c.UpdateCustomKeyStore) -> bool:
    """Whether more than the name is to change."""
    return bool(
        command.endpoint
        or command.path
        or command.connectivity
        or command.vpc_service
        or command.vpc_owner
        or command.secret
    )


def _check_connectivity(key_store: KeyStore) -> None:
    if key_store.connectivity == VPC and not key_store.vpc_service:
        raise InvalidRequest(
            "XksProxyConnectivity VPC_ENDPOINT_SERVICE needs XksProxyVpcEndpointServiceName."
        )
    if key_store.connectivity == PUBLIC and (key_store.vpc_service or key_store.vpc_owner):
        raise InvalidRequest(
            "XksProxyVpcEndpointServiceName and -Owner need the XksProxyConnectivity VPC_ENDPOINT_SERVICE."
        )


def _check_free(key_store: KeyStore, desk: Desk) -> None:
    """Refuse a name or an address that another key store has, and one key store too many."""
    others = [each for each in _all(desk) if each.id != key_store.id]
    if any(each.name == key_store.name for each in others):
        raise KeyStoreNameInUse(f"Another custom key store is named {key_store.name}.")
    if any((each.endpoint, each.path) == (key_store.endpoint, key_store.path) for each in others):
        raise XksUriInUse(
            f"Another custom key store has the proxy address {key_store.endpoint}{key_store.path}."
        )
    if len(others) >= desk.quotas.custom_key_stores:
        raise LimitExceeded(f"There may be {desk.quotas.custom_key_stores} custom key stores in a Region.")


def _check_proxy(key_store: KeyStore, secret: bytes, operation: str, desk: Desk) -> None:
    problem = desk.external.diagnose(key_store, secret, operation, desk.caller.request)
    if problem is not None:
        kind, text = _PROBLEMS[problem]
        raise kind(text)
