"""What can be done: one module per kind of action, one row per command.

A new operation is a command, a function here and a row in `ACTIONS`. Names are AWS's where AWS has the
operation, and ``keystead:...`` for our own.
"""

from collections.abc import Mapping
from typing import Final

from keystead.service.action import Action, Mode
from keystead.service.actions import (
    access_keys,
    accounts,
    aliases,
    asymmetric,
    audit_accounts,
    crypt,
    decisions,
    declared,
    grants,
    guardrails,
    imports,
    keys,
    keystores,
    links,
    policies,
    policies_named,
    principals,
    proofs,
    providers,
    query,
    regions,
    retention,
    rotation,
    sts,
    tags,
    usage,
)
from keystead.service.commands import Command
from keystead.service.commands import kms as c

ACTIONS: Final[Mapping[type[Command], Action]] = {
    c.Encrypt: Action("kms:Encrypt", Mode.HOT, crypt.encrypt),
    c.Decrypt: Action("kms:Decrypt", Mode.HOT, crypt.decrypt),
    c.ReEncrypt: Action("kms:ReEncrypt", Mode.HOT, crypt.re_encrypt),
    c.GenerateDataKey: Action("kms:GenerateDataKey", Mode.HOT, crypt.generate_data_key),
    c.GenerateDataKeyWithoutPlaintext: Action(
        "kms:GenerateDataKeyWithoutPlaintext", Mode.HOT, crypt.generate_data_key_without_plaintext
    ),
    c.GenerateDataKeyPair: Action("kms:GenerateDataKeyPair", Mode.HOT, crypt.generate_data_key_pair),
    c.GenerateDataKeyPairWithoutPlaintext: Action(
        "kms:GenerateDataKeyPairWithoutPlaintext", Mode.HOT, crypt.generate_data_key_pair_without_plaintext
    ),
    c.GenerateRandom: Action("kms:GenerateRandom", Mode.HOT, crypt.generate_random),
    c.Sign: Action("kms:Sign", Mode.HOT, asymmetric.sign),
    c.Verify: Action("kms:Verify", Mode.HOT, asymmetric.verify),
    c.GenerateMac: Action("kms:GenerateMac", Mode.HOT, asymmetric.generate_mac),
    c.VerifyMac: Action("kms:VerifyMac", Mode.HOT, asymmetric.verify_mac),
    c.DeriveSharedSecret: Action("kms:DeriveSharedSecret", Mode.HOT, asymmetric.derive_shared_secret),
    c.Encapsulate: Action("kms:Encapsulate", Mode.HOT, asymmetric.encapsulate),
    c.Decapsulate: Action("kms:Decapsulate", Mode.HOT, asymmetric.decapsulate),
    c.GetPublicKey: Action("kms:GetPublicKey", Mode.HOT, asymmetric.get_public_key),
    c.CreateKey: Action("kms:CreateKey", Mode.WRITE, keys.create_key, before=keys.prepare_key),
    c.DescribeKey: Action("kms:DescribeKey", Mode.READ, keys.describe_key),
    c.GetKeyLastUsage: Action("kms:GetKeyLastUsage", Mode.READ, usage.get_key_last_usage),
    c.ListKeys: Action("kms:ListKeys", Mode.READ, keys.list_keys),
    c.EnableKey: Action("kms:EnableKey", Mode.WRITE, keys.enable_key),
    c.DisableKey: Action("kms:DisableKey", Mode.WRITE, keys.disable_key),
    c.ScheduleKeyDeletion: Action("kms:ScheduleKeyDeletion", Mode.WRITE, keys.schedule_key_deletion),
    c.CancelKeyDeletion: Action("kms:CancelKeyDeletion", Mode.WRITE, keys.cancel_key_deletion),
    c.DestroyKey: Action("keystead:DestroyKey", Mode.WRITE, keys.destroy_key),
    c.UpdateKeyDescription: Action("kms:UpdateKeyDescription", Mode.WRITE, keys.update_key_description),
    c.EnableKeyRotation: Action("kms:EnableKeyRotation", Mode.WRITE, rotation.enable_key_rotation),
    c.DisableKeyRotation: Action("kms:DisableKeyRotation", Mode.WRITE, rotation.disable_key_rotation),
    c.GetKeyRotationStatus: Action("kms:GetKeyRotationStatus", Mode.READ, rotation.get_key_rotation_status),
    c.RotateKeyOnDemand: Action("kms:RotateKeyOnDemand", Mode.WRITE, rotation.rotate_key_on_demand),
    c.RotateKeyAutomatically: Action("keystead:RotateKey", Mode.WRITE, rotation.rotate_key_automatically),
    c.ListKeyRotations: Action("kms:ListKeyRotations", Mode.READ, rotation.list_key_rotations),
    c.GetParametersForImport: Action(
        "kms:GetParametersForImport",
        Mode.WRITE,
        imports.get_parameters_for_import,
        before=imports.prepare_parameters,
    ),
    c.ImportKeyMaterial: Action(
        "kms:ImportKeyMaterial", Mode.WRITE, imports.import_key_material, before=imports.take_material
    ),
    c.DeleteImportedKeyMaterial: Action(
        "kms:DeleteImportedKeyMaterial", Mode.WRITE, imports.delete_imported_key_material
    ),
    c.ExpireKeyMaterial: Action("keystead:ExpireKeyMaterial", Mode.WRITE, imports.expire_key_material),
    c.ReplicateKey: Action(
        "kms:ReplicateKey", Mode.WRITE, regions.replicate_key, before=regions.prepare_replica
    ),
    c.UpdatePrimaryRegion: Action("kms:UpdatePrimaryRegion", Mode.WRITE, regions.update_primary_region),
    c.LinkMember: Action("keystead:LinkMember", Mode.WRITE, links.link_member),
    c.LinkStates: Action("keystead:LinkStates", Mode.READ, links.link_states),
    c.LinkMove: Action("keystead:LinkMove", Mode.WRITE, links.link_move),
    c.TellMove: Action("keystead:TellMove", Mode.READ, links.tell_move),
    c.MoveTold: Action("keystead:MoveTold", Mode.WRITE, links.move_told),
    c.TellMember: Action("keystead:TellMember", Mode.READ, links.tell_member),
    c.MemberTold: Action("keystead:MemberTold", Mode.WRITE, links.member_told),
    c.CreateAlias: Action("kms:CreateAlias", Mode.WRITE, aliases.create_alias),
    c.UpdateAlias: Action("kms:UpdateAlias", Mode.WRITE, aliases.update_alias),
    c.DeleteAlias: Action("kms:DeleteAlias", Mode.WRITE, aliases.delete_alias),
    c.ListAliases: Action("kms:ListAliases", Mode.READ, aliases.list_aliases),
    c.TagResource: Action("kms:TagResource", Mode.WRITE, tags.tag_resource),
    c.UntagResource: Action("kms:UntagResource", Mode.WRITE, tags.untag_resource),
    c.ListResourceTags: Action("kms:ListResourceTags", Mode.READ, tags.list_resource_tags),
    c.CreateCustomKeyStore: Action(
        "kms:CreateCustomKeyStore",
        Mode.WRITE,
        keystores.create_key_store,
        before=keystores.prepare_key_store,
    ),
    c.UpdateCustomKeyStore: Action(
        "kms:UpdateCustomKeyStore", Mode.WRITE, keystores.update_key_store, before=keystores.prepare_update
    ),
    c.DescribeCustomKeyStores: Action(
        "kms:DescribeCustomKeyStores", Mode.READ, keystores.describe_key_stores
    ),
    c.ConnectCustomKeyStore: Action(
        "kms:ConnectCustomKeyStore",
        Mode.WRITE,
        keystores.connect_key_store,
        before=keystores.prepare_connection,
    ),
    c.DisconnectCustomKeyStore: Action(
        "kms:DisconnectCustomKeyStore", Mode.WRITE, keystores.disconnect_key_store
    ),
    c.DeleteCustomKeyStore: Action("kms:DeleteCustomKeyStore", Mode.WRITE, keystores.delete_key_store),
    c.GetKeyPolicy: Action("kms:GetKeyPolicy", Mode.READ, policies.get_key_policy),
    c.PutKeyPolicy: Action("kms:PutKeyPolicy", Mode.WRITE, policies.put_key_policy),
    c.ListKeyPolicies: Action("kms:ListKeyPolicies", Mode.READ, policies.list_key_policies),
    c.CreateGrant: Action("kms:CreateGrant", Mode.WRITE, grants.create_grant),
    c.ListGrants: Action("kms:ListGrants", Mode.READ, grants.list_grants),
    c.ListRetirableGrants: Action("kms:ListRetirableGrants", Mode.READ, grants.list_retirable_grants),
    c.RevokeGrant: Action("kms:RevokeGrant", Mode.WRITE, grants.revoke_grant),
    c.RetireGrant: Action("kms:RetireGrant", Mode.WRITE, grants.retire_grant),
    **principals.ACTIONS,
    **access_keys.ACTIONS,
    **policies_named.ACTIONS,
    **guardrails.ACTIONS,
    **accounts.ACTIONS,
    **declared.ACTIONS,
    **sts.ACTIONS,
    **providers.ACTIONS,
    **decisions.ACTIONS,
    **query.ACTIONS,
    **proofs.ACTIONS,
    **audit_accounts.ACTIONS,
    **retention.ACTIONS,
}
