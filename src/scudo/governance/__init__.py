"""By whose authority, and with what evidence: acts, gates, the log's tree, heads, proofs."""

from scudo.governance import events
from scudo.governance.acts import ACTS_MAX, DONE, Act, RecordActs, Recorder, record_acts
from scudo.governance.errors import (
    EntryUnknown,
    EvidenceContradicted,
    GateShut,
    HeadUnknown,
    LogContradictsHead,
    ProofNotReady,
)
from scudo.governance.gates import Asked, Gates, Passage, Ruling, Shut
from scudo.governance.model import DAY, ED25519, HOUR, ML_DSA_65, MOMENT, Signer
from scudo.governance.notary import Notary
from scudo.governance.proving import prove_entry, prove_growth
from scudo.governance.signer import KeyFiles, VaultSigner
from scudo.governance.verification import EvidenceAudit

__all__ = [
    "ACTS_MAX",
    "DAY",
    "DONE",
    "ED25519",
    "HOUR",
    "ML_DSA_65",
    "MOMENT",
    "Act",
    "Asked",
    "EntryUnknown",
    "EvidenceAudit",
    "EvidenceContradicted",
    "GateShut",
    "Gates",
    "HeadUnknown",
    "KeyFiles",
    "LogContradictsHead",
    "Notary",
    "Passage",
    "ProofNotReady",
    "RecordActs",
    "Recorder",
    "Ruling",
    "Shut",
    "Signer",
    "VaultSigner",
    "events",
    "prove_entry",
    "prove_growth",
    "record_acts",
]
