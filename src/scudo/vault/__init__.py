"""The vault: keys, personal data and card numbers, in a process of its own.

The process answers on a local socket; the bank's other processes ask it as a client:

    with VaultClient(path) as vault:
        vault.ask(PutPerson(person=7, fields={"email": "ada@example.org"}))

What may be asked is the list of requests in `wire`; what may be kept, read and tokenised, and
for which purposes, is declared in `model`.
"""

from scudo.vault import errors, events
from scudo.vault.answers import (
    Fact,
    Kept,
    Signature,
    SigningKey,
    StatusShown,
    Tally,
    TextKept,
    Why,
)
from scudo.vault.callers import CallerList
from scudo.vault.client import AsyncVaultClient, VaultClient
from scudo.vault.custody import Custody, Limits
from scudo.vault.database import Database
from scudo.vault.erasures import Erasures
from scudo.vault.errors import (
    REFUSALS,
    PinLocked,
    PinWrong,
    RootPresent,
    VaultFolderUnfit,
    VaultQuota,
    VaultRefusal,
    VaultRunning,
    VaultSealed,
    VaultUnavailable,
)
from scudo.vault.folder import Folder
from scudo.vault.hsm import Hsm, HsmUri
from scudo.vault.hygiene import become, harden
from scudo.vault.keeping import KeyKeeper, NoteKeys, keys_in_use
from scudo.vault.keystore import (
    ED25519,
    ML_DSA_65,
    OPERATIONAL_FILE,
    FileKeyStore,
    FormerKeys,
    KeyStore,
    SigningSeed,
    derive_secret,
    has_mac,
)
from scudo.vault.model import FIELDS, Clock, DataClass
from scudo.vault.network import Hop
from scudo.vault.reaching import PROTOCOL, Address, RemoteVault
from scudo.vault.ring import ROOT_FILE
from scudo.vault.safe import Safe, read_pin
from scudo.vault.sealing import demand_shares
from scudo.vault.server import Peers, listening
from scudo.vault.texts import TextSignal, VaultTexts
from scudo.vault.tokens import VaultTokens
from scudo.vault.wire import (
    TEXT_CHARACTERS_MAX,
    CommitRoot,
    CountKept,
    ErasePerson,
    FindCard,
    FindPerson,
    FindToken,
    ForgetCards,
    ForgetReads,
    KeepTexts,
    LinkToken,
    ListCards,
    ListSigningKeys,
    MatchCallback,
    NewText,
    PrepareDevelopmentRoot,
    PrepareHsmRoot,
    PrepareRoot,
    PutCard,
    PutPerson,
    ReadCard,
    ReadFields,
    ReadText,
    Request,
    RotateOperational,
    RotateSearch,
    RotateUnit,
    Seal,
    ShareCallbackSecret,
    ShowCard,
    Sign,
    Status,
    Sweep,
    Tokenise,
    TokeniseAll,
    Unseal,
    UnsealByPin,
)

__all__ = [
    "ED25519",
    "FIELDS",
    "ML_DSA_65",
    "OPERATIONAL_FILE",
    "PROTOCOL",
    "REFUSALS",
    "ROOT_FILE",
    "TEXT_CHARACTERS_MAX",
    "Address",
    "AsyncVaultClient",
    "CallerList",
    "Clock",
    "CommitRoot",
    "CountKept",
    "Custody",
    "DataClass",
    "Database",
    "ErasePerson",
    "Erasures",
    "Fact",
    "FileKeyStore",
    "FindCard",
    "FindPerson",
    "FindToken",
    "Folder",
    "ForgetCards",
    "ForgetReads",
    "FormerKeys",
    "Hop",
    "Hsm",
    "HsmUri",
    "KeepTexts",
    "Kept",
    "KeyKeeper",
    "KeyStore",
    "Limits",
    "LinkToken",
    "ListCards",
    "ListSigningKeys",
    "MatchCallback",
    "NewText",
    "NoteKeys",
    "Peers",
    "PinLocked",
    "PinWrong",
    "PrepareDevelopmentRoot",
    "PrepareHsmRoot",
    "PrepareRoot",
    "PutCard",
    "PutPerson",
    "ReadCard",
    "ReadFields",
    "ReadText",
    "RemoteVault",
    "Request",
    "RootPresent",
    "RotateOperational",
    "RotateSearch",
    "RotateUnit",
    "Safe",
    "Seal",
    "ShareCallbackSecret",
    "ShowCard",
    "Sign",
    "Signature",
    "SigningKey",
    "SigningSeed",
    "Status",
    "StatusShown",
    "Sweep",
    "Tally",
    "TextKept",
    "TextSignal",
    "Tokenise",
    "TokeniseAll",
    "Unseal",
    "UnsealByPin",
    "VaultClient",
    "VaultFolderUnfit",
    "VaultQuota",
    "VaultRefusal",
    "VaultRunning",
    "VaultSealed",
    "VaultTexts",
    "VaultTokens",
    "VaultUnavailable",
    "Why",
    "become",
    "demand_shares",
    "derive_secret",
    "errors",
    "events",
    "harden",
    "has_mac",
    "keys_in_use",
    "listening",
    "read_pin",
]
