"""By whose authority, and with what evidence: the log's tree, its signed heads, proofs."""

from scudo.governance.errors import (
    EntryUnknown,
    EvidenceContradicted,
    HeadUnknown,
    LogContradictsHead,
    ProofNotReady,
)
from scudo.governance.model import DAY, ED25519, HOUR, ML_DSA_65, MOMENT, Signer
from scudo.governance.notary import Notary
from scudo.governance.proving import prove_entry, prove_growth
from scudo.governance.signer import KeyFiles
from scudo.governance.verification import EvidenceAudit

__all__ = [
    "DAY",
    "ED25519",
    "HOUR",
    "ML_DSA_65",
    "MOMENT",
    "EntryUnknown",
    "EvidenceAudit",
    "EvidenceContradicted",
    "HeadUnknown",
    "KeyFiles",
    "LogContradictsHead",
    "Notary",
    "ProofNotReady",
    "Signer",
    "prove_entry",
    "prove_growth",
]
