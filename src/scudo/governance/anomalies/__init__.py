"""Anomalies of operators: what they do is counted, and told when it is odd."""

from scudo.governance.anomalies.rules import Conduct, Thresholds, load_thresholds
from scudo.governance.anomalies.watching import Anomalies, TellAnomaly, tell_anomaly

__all__ = [
    "Anomalies",
    "Conduct",
    "TellAnomaly",
    "Thresholds",
    "load_thresholds",
    "tell_anomaly",
]
