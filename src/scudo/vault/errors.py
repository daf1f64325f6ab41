"""Why the vault may say no.

Refusal
├── VaultUnavailable, VaultSealed, VaultQuota      it cannot, or will not, answer now
├── VaultForbidden, VaultRequestMalformed          who asks may not, or asks what cannot be read
├── VaultCallerUnknown, VaultCallerRevoked, VaultBusy    a connection of the network is not taken
├── FieldUndeclared, FieldValueUnfit, CardNumberInvalid, KeyUnknown    there is no such thing
├── PersonNotFound, PersonErased, TextNotFound, CardNotFound, CardTaken
├── CiphertextBroken                               what is stored was changed or moved
├── ErasureNotExported                             done here, not yet kept outside the database
├── ShareMalformed, ShareForeign, ShareRepeated, KeeperRepeated, SharesUnfit
├── HsmAway, HsmForeign, HsmKeyGone, HsmUnfit, HsmUriUnfit, PinWrong, PinLocked
├── VaultNotSealed, VaultNotInitialised, RootPresent, RootNotPrepared, RootOpensOtherwise
├── RootUnapproved                                 two people decide on a new root
├── VaultRunning, VaultFolderUnfit                 the process cannot start
├── VaultCallersUnfit, VaultAddressUnfit           nor answer on the network
├── VaultDatabaseUnreachable                       nor begin: its database does not answer
└── VaultDefect                                    a bug, of which nothing else is said
"""

from typing import Final

from scudo.kernel import Refusal


class VaultRefusal(Refusal):
    """What the vault refused, with the facts that the audit log should keep of the attempt."""

    facts: tuple[object, ...] = ()


class VaultUnavailable(VaultRefusal):
    """The vault does not answer, or its database does not."""

    code = "vault_unavailable"
    kind = "unavailable"
    retryable = True
    next_step = "Send the same request again in a few seconds; doing it twice does no harm."


class VaultSealed(VaultRefusal):
    """The root key is not in memory, so nothing can be decrypted."""

    code = "vault_sealed"
    kind = "unavailable"
    retryable = True
    next_step = "Have enough keepers enter their shares with `scudo vault unseal`."


class VaultQuota(VaultRefusal):
    """More was read for one purpose in a second than this purpose needs."""

    code = "vault_quota"
    kind = "limited"
    retryable = True
    next_step = "Wait a second; if this is rightful work, have the purpose's quota raised."


class VaultForbidden(VaultRefusal):
    """The caller, or the purpose it names, may not do this."""

    code = "vault_forbidden"
    kind = "forbidden"
    next_step = "Name the purpose that this is for, or ask as a user who may."


class VaultCallerUnknown(VaultRefusal):
    """A certificate was believed, and none of its names is in the vault's list of callers."""

    code = "vault_caller_unknown"
    kind = "forbidden"
    next_step = "Put a name of the certificate into the list of callers on the vault's machine."


class VaultCallerRevoked(VaultRefusal):
    """The list of callers says that this certificate is good no more."""

    code = "vault_caller_revoked"
    kind = "forbidden"
    next_step = "Give this caller a new key and certificate."


class VaultBusy(VaultRefusal):
    """This caller has as many connections as it may have."""

    code = "vault_busy"
    kind = "unavailable"
    retryable = True
    next_step = "Close connections that are not used."


class VaultRequestMalformed(VaultRefusal):
    """A request is none of those that the vault knows."""

    code = "vault_request_malformed"
    next_step = "Send a request of the vault's client."


class FieldUndeclared(VaultRefusal):
    """A field, kind, purpose or algorithm is not one of those that are declared."""

    code = "vault_field_undeclared"
    next_step = "Use a declared name, or declare it in the vault's model."


class FieldValueUnfit(VaultRefusal):
    """A value is empty, too long, or not of its field's form."""

    code = "vault_value_unfit"
    kind = "unprocessable"
    next_step = "Correct the value of the field that is named."


class CardNumberInvalid(VaultRefusal):
    """A card number has a wrong length or check digit, or an expiry is no month."""

    code = "card_number_invalid"
    kind = "unprocessable"
    next_step = "Read the card's number and expiry again."


class KeyUnknown(VaultRefusal):
    """There is no operational key of this version or algorithm."""

    code = "vault_key_unknown"
    kind = "not_found"
    next_step = "Ask for the keys that there are, and name one of them."


class PersonNotFound(VaultRefusal):
    """The vault holds nothing of this person."""

    code = "vault_person_not_found"
    kind = "not_found"
    next_step = "Check the person's number."


class PersonErased(VaultRefusal):
    """This person was erased; nothing may be stored of them again."""

    code = "vault_person_erased"
    kind = "conflict"
    next_step = "A person who comes back is a new person, with a new number."


class TextNotFound(VaultRefusal):
    """The vault does not hold the text of this claim."""

    code = "vault_text_not_found"
    kind = "not_found"
    next_step = "It came while the vault was sealed, or its payer was erased: it is in no log."


class CardNotFound(VaultRefusal):
    """The vault holds no card of this reference."""

    code = "card_not_found"
    kind = "not_found"
    next_step = "Check the card's reference."


class CardTaken(VaultRefusal):
    """This card number is another person's."""

    code = "card_taken"
    kind = "conflict"
    next_step = "Check whose card it is."


class CiphertextBroken(VaultRefusal):
    """A ciphertext was changed, moved to another place, or is of another key; nothing is shown."""

    code = "vault_ciphertext_broken"
    kind = "internal"
    next_step = "Treat it as tampering: keep the database as it is and compare it with a backup."


class ErasureNotExported(VaultRefusal):
    """The person is erased, but the list outside the database could not be written."""

    code = "vault_erasure_not_exported"
    kind = "unavailable"
    retryable = True
    next_step = "Make room for the list of erasures and erase the person again: it is written then."


class ShareMalformed(VaultRefusal):
    """What was entered is no share: a word or its checksum is wrong."""

    code = "vault_share_malformed"
    kind = "unprocessable"
    next_step = "Read the words again, in order; a share has thirty-three."


class ShareForeign(VaultRefusal):
    """This is a share of another secret than this vault's root."""

    code = "vault_share_foreign"
    kind = "unprocessable"
    next_step = "Look for the share of this vault, of the latest rotation."


class ShareRepeated(VaultRefusal):
    """This share was entered before."""

    code = "vault_share_repeated"
    kind = "conflict"
    next_step = "Another keeper must enter another share."


class KeeperRepeated(VaultRefusal):
    """This keeper has entered a share already; the next must be another person's."""

    code = "vault_keeper_repeated"
    kind = "conflict"
    next_step = "Have another keeper enter the next share, under their own name."


class SharesUnfit(VaultRefusal):
    """The root cannot be split like this."""

    code = "vault_shares_unfit"
    next_step = "Choose 2 to 16 shares, and a threshold from 2 to their number."


class HsmAway(VaultRefusal):
    """The PKCS#11 token is not there, or was away and must be logged in to again."""

    code = "vault_hsm_away"
    kind = "unavailable"
    retryable = True
    next_step = "Connect the token, then run `scudo vault unseal`: it asks for the PIN."


class HsmForeign(VaultRefusal):
    """The PKCS#11 token is another one than that of this vault's root, or has another key."""

    code = "vault_hsm_foreign"
    kind = "unprocessable"
    next_step = "Connect the token whose serial number `scudo vault status` says."


class HsmKeyGone(VaultRefusal):
    """The PKCS#11 token is there, and the key that wraps is not in it."""

    code = "vault_hsm_key_gone"
    kind = "conflict"
    next_step = "Restore the key into the token from the token's own backup; nothing else opens it."


class HsmUnfit(VaultRefusal):
    """No PKCS#11 module is configured, it cannot be loaded, or the token lacks AES-GCM."""

    code = "vault_hsm_unfit"
    kind = "conflict"
    next_step = "Name the module of the token in SCUDO_PKCS11_MODULE and start the vault again."


class HsmUriUnfit(VaultRefusal):
    """The URI does not say which one token is meant, or holds a PIN."""

    code = "vault_hsm_uri_unfit"
    next_step = "Name the token as in pkcs11:token=bank;serial=…?pin-source=/path/of/a/file."


class PinWrong(VaultRefusal):
    """The token does not take this PIN; it counts the attempts."""

    code = "vault_pin_wrong"
    kind = "unprocessable"
    next_step = "Enter the PIN of the token's user; after a few wrong ones the token locks itself."


class PinLocked(VaultRefusal):
    """The token takes no PIN of its user any more."""

    code = "vault_pin_locked"
    kind = "conflict"
    next_step = "Have the token's security officer set a new PIN, then enter that one."


class VaultNotSealed(VaultRefusal):
    """The vault is open; there is nothing to unseal."""

    code = "vault_not_sealed"
    kind = "conflict"
    next_step = "Nothing is to be done."


class VaultNotInitialised(VaultRefusal):
    """The vault has no root key yet."""

    code = "vault_not_initialised"
    kind = "conflict"
    next_step = "Run `scudo vault init`."


class RootPresent(VaultRefusal):
    """The vault has a root key; another takes its place only by rotation."""

    code = "vault_root_present"
    kind = "conflict"
    next_step = "Run `scudo vault rotate-root` while the vault is open."


class RootNotPrepared(VaultRefusal):
    """No new root is prepared, or it was prepared too long ago."""

    code = "vault_root_not_prepared"
    kind = "conflict"
    next_step = "Prepare a root, hand its shares out, and commit it then."


class RootUnapproved(VaultRefusal):
    """Two people decide on a new root, and have not approved this one in the place of that one."""

    code = "vault_root_unapproved"
    kind = "forbidden"
    next_step = (
        "Have two operators decide: POST /v1/approvals with the kind `rotate_root`; then name it"
        " with --approval."
    )


class RootOpensOtherwise(VaultRefusal):
    """A PIN was entered where shares open the vault, or a share where a PIN does."""

    code = "vault_root_opens_otherwise"
    kind = "conflict"
    next_step = "Ask `scudo vault status` what opens it, and run `scudo vault unseal` again."


class VaultRunning(VaultRefusal):
    """Another process is the vault of this folder."""

    code = "vault_running"
    kind = "conflict"
    next_step = "Use the vault that runs, or stop it first."


class VaultFolderUnfit(VaultRefusal):
    """A file of the vault, or the list of erasures, cannot be used as it is."""

    code = "vault_folder_unfit"
    kind = "conflict"
    next_step = "Restore the file that is named from its copy; nothing was changed."


class VaultCallersUnfit(VaultRefusal):
    """The list of callers cannot be read, or allows what there is not."""

    code = "vault_callers_unfit"
    kind = "conflict"
    next_step = "Correct the list that SCUDO_VAULT_CALLERS names; the vault's user must read it."


class VaultAddressUnfit(VaultRefusal):
    """The vault cannot wait for connections at the address that it was told."""

    code = "vault_address_unfit"
    kind = "conflict"
    next_step = "Name a free port above 1023 of an address of this machine in SCUDO_VAULT_LISTEN."


class VaultDatabaseUnreachable(VaultRefusal):
    """The vault cannot begin: its database does not answer, or does not let it in."""

    code = "vault_database_unreachable"
    kind = "unavailable"
    retryable = True
    next_step = (
        "Check SCUDO_VAULT_DATABASE_URL (the vault's user reads its files), and that `scudo init`"
        " has made the bank."
    )


class VaultDefect(VaultRefusal):
    """The vault met a defect of its own; the request had no answer."""

    code = "vault_defect"
    kind = "internal"
    next_step = "Report the time and the kind of request; the vault's log has the place."


def _all(base: type[VaultRefusal]) -> dict[str, type[VaultRefusal]]:
    return {
        one.code: one
        for one in globals().values()
        if isinstance(one, type) and issubclass(one, base) and one is not base
    }


#: Every refusal of this room by its code: how a client raises what the process refused.
REFUSALS: Final = _all(VaultRefusal)
