"""Custom key stores."""

from collections.abc import Mapping
from typing import Final

from keystead.core.keystore import KeyStore, Kind
from keystead.fronts.aws import model
from keystead.fronts.aws.operations.forms import Row, encode, page
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.results import Result
from keystead.service.results import kms as r


def _create(taken: model.CreateCustomKeyStoreRequest) -> Command:
    access_key_id, secret = _credential(taken.XksProxyAuthenticationCredential)
    return c.CreateCustomKeyStore(
        name=taken.CustomKeyStoreName or "",
        kind=Kind(taken.CustomKeyStoreType or "AWS_CLOUDHSM"),
        cluster=taken.CloudHsmClusterId or "",
        trust_anchor=taken.TrustAnchorCertificate or "",
        password=taken.KeyStorePassword or "",
        endpoint=taken.XksProxyUriEndpoint or "",
        path=taken.XksProxyUriPath or "",
        connectivity=taken.XksProxyConnectivity or "",
        vpc_service=taken.XksProxyVpcEndpointServiceName or "",
        vpc_owner=taken.XksProxyVpcEndpointServiceOwner or "",
        access_key_id=access_key_id,
        secret=secret,
    )


def _update(taken: model.UpdateCustomKeyStoreRequest) -> Command:
    access_key_id, secret = _credential(taken.XksProxyAuthenticationCredential)
    return c.UpdateCustomKeyStore(
        key_store_id=taken.CustomKeyStoreId or "",
        new_name=taken.NewCustomKeyStoreName or "",
        cluster=taken.CloudHsmClusterId or "",
        password=taken.KeyStorePassword or "",
        endpoint=taken.XksProxyUriEndpoint or "",
        path=taken.XksProxyUriPath or "",
        connectivity=taken.XksProxyConnectivity or "",
        vpc_service=taken.XksProxyVpcEndpointServiceName or "",
        vpc_owner=taken.XksProxyVpcEndpointServiceOwner or "",
        access_key_id=access_key_id,
        secret=secret,
    )


def _credential(taken: model.XksProxyAuthenticationCredentialType | None) -> tuple[str, str]:
    if taken is None:
        return "", ""
    return taken.AccessKeyId or "", taken.RawSecretAccessKey or ""


def _describe(taken: model.DescribeCustomKeyStoresRequest) -> Command:
    return c.DescribeCustomKeyStores(
        taken.CustomKeyStoreId or "",
        taken.CustomKeyStoreName or "",
        page(taken.Limit, 100, 1000),
        taken.Marker or "",
    )


def _created(result: r.KeyStoreCreated) -> bytes:
    return encode(model.CreateCustomKeyStoreResponse(CustomKeyStoreId=result.key_store_id))


def _nothing(_: Result) -> bytes:
    return b"{}"


def _described(result: r.KeyStorePage) -> bytes:
    return encode(
        model.DescribeCustomKeyStoresResponse(
            CustomKeyStores=[_entry(key_store) for key_store in result.key_stores],
            NextMarker=result.marker or None,
            Truncated=bool(result.marker),
        )
    )


def _entry(key_store: KeyStore) -> model.CustomKeyStoresListEntry:
    """What is said of a key store: never its secret."""
    return model.CustomKeyStoresListEntry(
        CloudHsmClusterId=key_store.cluster or None,
        ConnectionErrorCode=key_store.connection_error or None,
        ConnectionState=key_store.connection.value,
        CreationDate=key_store.created,
        CustomKeyStoreId=key_store.id,
        CustomKeyStoreName=key_store.name,
        CustomKeyStoreType=key_store.kind.value,
        TrustAnchorCertificate=key_store.trust_anchor or None,
        XksProxyConfiguration=model.XksProxyConfigurationType(
            AccessKeyId=key_store.access_key_id,
            Connectivity=key_store.connectivity,
            UriEndpoint=key_store.endpoint,
            UriPath=key_store.path,
            VpcEndpointServiceName=key_store.vpc_service or None,
            VpcEndpointServiceOwner=key_store.vpc_owner or None,
        )
        if key_store.kind is Kind.EXTERNAL_KEY_STORE
        else None,
    )


ROWS: Final[Mapping[str, Row]] = {
    "CreateCustomKeyStore": Row(_create, _created),
    "UpdateCustomKeyStore": Row(_update, _nothing),
    "DescribeCustomKeyStores": Row(_describe, _described),
    "ConnectCustomKeyStore": Row(lambda t: c.ConnectCustomKeyStore(t.CustomKeyStoreId), _nothing),
    "DisconnectCustomKeyStore": Row(lambda t: c.DisconnectCustomKeyStore(t.CustomKeyStoreId), _nothing),
    "DeleteCustomKeyStore": Row(lambda t: c.DeleteCustomKeyStore(t.CustomKeyStoreId), _nothing),
}
