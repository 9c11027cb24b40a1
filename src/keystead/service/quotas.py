"""Quotas: AWS KMS's own numbers are the defaults, and configuration may raise them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much of each there may be."""

    aliases_per_key: int = 50
    tags_per_key: int = 50
    grants_per_key: int = 50_000
    rotations_on_demand: int = 25  # over the life of a key
    access_keys_per_principal: int = 2
    custom_key_stores: int = 10  # of one account in one Region
