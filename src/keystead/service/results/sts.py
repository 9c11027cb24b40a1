"""What is said of callers and of sessions."""

from keystead.service.results import Result


class CallerIdentity(Result):
    """Who somebody is."""

    user_id: str
    account: str
    arn: str


class Credentials(Result):
    """Temporary credentials, which are given out this once."""

    access_key: str
    secret: str
    token: str
    expires: float  # Unix seconds


class NewSession(Result):
    """A session of a role, or of a user (``role`` is empty)."""

    credentials: Credentials
    role_id: str = ""  # the role's unique id and the session's name
    arn: str = ""  # of the session
    packed: int | None = (
        None  # how much of a token its policies and tags have taken, in percent; None if it has none
    )
    source_identity: str = ""
    subject: str = ""  # of the identity provider's token, like the next two
    audience: str = ""
    provider: str = ""  # the issuer's URL
