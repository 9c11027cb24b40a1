"""Policy as code: what an account is declared to be, compared with what it is.

A directory of YAML or JSON files declares the account's principals, policies, guardrails, identity providers, key
templates and keys. `keystead plan` says what it would take to make the account that, and `keystead apply` does it::

    documents --(reading)--> State --+
                                     +--(compare)--> Plan --(carry)--> requests of the native API, one after the other
    the server --(present)--> Present +

A `State` is a flat table: the name of each *thing* (``role/deploy``, ``key/eu-central-1/app/web``) and its properties
in one normal form (`keystead.plan.things`). Everything but `present` and `carry` is a function of its arguments, and
these two get the API as one function, ``ask(operation, **arguments)``.

What was declared once and is no longer is deleted, but never a key. What was never declared is left alone.
"""
