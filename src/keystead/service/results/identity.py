"""What is said of principals and access keys."""

from keystead.core.principal import AccessKey, Principal
from keystead.service.results import Result


class PrincipalPage(Result):
    """Some principals."""

    principals: list[Principal]
    marker: str


class PrincipalDescription(Result):
    """One principal."""

    principal: Principal


class NewAccessKey(Result):
    """An access key with its secret, which is given out this once."""

    access_key: AccessKey
    secret: str


class AccessKeyList(Result):
    """A principal's access keys."""

    access_keys: list[AccessKey]
