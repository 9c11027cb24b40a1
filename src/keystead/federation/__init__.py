"""Tokens of other people's issuers: who signed one, for whom, and whether it counts.

A CI system, a Kubernetes cluster or a company's sign-in gives its programs and people short-lived tokens (JWTs). An
account that trusts the issuer of one (`keystead.core.principal.Provider`) exchanges it for credentials, so that no
long-term secret lies about. Here it is found out whether a token is what it claims to be.

A token comes from anybody, so each rule refuses something that has worked against somebody:

* The algorithm must be one of a short list. Neither "none" nor HMAC is in it, so nobody signs with a public key as
  though it were a shared secret.
* The key comes from the issuer that the provider names, and must be of the kind that the algorithm is for. What a
  token says of keys (``jku``, ``jwk``, ``x5u``, ``x5c``) is never looked at.
* ``iss`` is the provider's URL to the letter, one of its audiences is in ``aud``, and ``exp`` is there and not over.
* JSON in which a member stands twice is refused: two readers might take two different ones.

    issuers = Issuers(clock)
    claims = issuers.verify(provider, token)
    claims["sub"]                               # "repo:example/app:ref:refs/heads/main"

`strict` reads JSON and base64url, `keys` a JSON Web Key Set, `token` a token. `wire` gets a document within a deadline,
`discovery` finds an issuer's keys with it, and `issuers` puts them together: `Issuers` implements
`keystead.core.ports.IdentityTokens`.
"""

from keystead.federation.issuers import Issuers

__all__ = ["Issuers"]
