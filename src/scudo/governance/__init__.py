"""By whose authority, and with what evidence: acts, gates, the log's tree, heads, proofs."""

from scudo.governance import (
    anomalies,
    approvals,
    callbacks,
    classification,
    controls,
    events,
    flags,
    trail,
)
from scudo.governance.acts import ACTS_MAX, DONE, Act, RecordActs, Recorder, record_acts
from scudo.governance.detection import find_in_text, find_in_value
from scudo.governance.errors import (
    EntryUnknown,
    EvidenceContradicted,
    GateShut,
    HeadUnknown,
    LogContradictsHead,
    MandateExceeded,
    MandateLapsed,
    MandateMalformed,
    MandateUnknown,
    ProofNotReady,
)
from scudo.governance.gates import Asked, Gates, Passage, Ruling, Shut
from scudo.governance.mandate_audit import MandateWitness, objection
from scudo.governance.mandates import (
    STANDING,
    TERMS_KIND,
    USAGE_KIND,
    ApproveMandate,
    Leave,
    MandateBody,
    Mandates,
    Moved,
    Side,
    Terms,
    list_mandates,
)
from scudo.governance.model import DAY, ED25519, HOUR, ML_DSA_65, MOMENT, Signer
from scudo.governance.notary import Notary
from scudo.governance.proving import prove_entry, prove_growth
from scudo.governance.sampling import Leak, find_leaks
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
    "STANDING",
    "TERMS_KIND",
    "USAGE_KIND",
    "Act",
    "ApproveMandate",
    "Asked",
    "EntryUnknown",
    "EvidenceAudit",
    "EvidenceContradicted",
    "GateShut",
    "Gates",
    "HeadUnknown",
    "KeyFiles",
    "Leak",
    "Leave",
    "LogContradictsHead",
    "MandateBody",
    "MandateExceeded",
    "MandateLapsed",
    "MandateMalformed",
    "MandateUnknown",
    "MandateWitness",
    "Mandates",
    "Moved",
    "Notary",
    "Passage",
    "ProofNotReady",
    "RecordActs",
    "Recorder",
    "Ruling",
    "Shut",
    "Side",
    "Signer",
    "Terms",
    "VaultSigner",
    "anomalies",
    "approvals",
    "callbacks",
    "classification",
    "controls",
    "events",
    "find_in_text",
    "find_in_value",
    "find_leaks",
    "flags",
    "list_mandates",
    "objection",
    "prove_entry",
    "prove_growth",
    "record_acts",
    "trail",
]
