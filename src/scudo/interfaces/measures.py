"""What `/metrics` shows of an open bank, read when it is asked for."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scudo.bootstrap import Bank
from scudo.fabric import ServerTls
from scudo.governance import flags
from scudo.identity import partners
from scudo.interfaces.recounting import AuditorProcess
from scudo.interfaces.watching import VaultWatch
from scudo.kernel import SECOND_US


class BankCollector(Collector):
    """Turns the conveyor's tally and the consumers' positions into metrics."""

    def __init__(
        self, bank: Bank, auditor: AuditorProcess | None = None, watch: VaultWatch | None = None
    ) -> None:
        """Watch one bank, the auditor beside it, and what is seen of its vault."""
        self._bank = bank
        self._auditor = auditor
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Read everything once."""
        conveyor, tally = self._bank.conveyor, self._bank.conveyor.tally
        for name, value, text in (
            ("batches", tally.batches, "Batches committed"),
            ("entries", tally.entries, "Entries answered after a commit"),
            ("replayed", tally.replayed, "Requests answered from memory of their key"),
            ("refused", tally.refused, "Requests refused for a business reason"),
            ("poisoned", tally.poisoned, "Requests set aside for a fault of ours"),
            ("bisected", tally.bisected, "Batches halved to find a poisoned request"),
            ("recovered", tally.recovered, "Times the database was lost and found again"),
        ):
            yield CounterMetricFamily(f"scudo_conveyor_{name}", text, value=value)
        for name, nanoseconds, text in (
            ("evaluate_seconds", tally.evaluate_ns, "Time spent deciding and planning"),
            ("commit_seconds", tally.commit_ns, "Time spent committing"),
        ):
            yield CounterMetricFamily(f"scudo_conveyor_{name}", text, value=nanoseconds / 1e9)
        yield GaugeMetricFamily(
            "scudo_log_position", "Position of the latest event", value=conveyor.head.position
        )
        lag = GaugeMetricFamily(
            "scudo_consumer_lag", "Positions a consumer is behind", labels=["consumer"]
        )
        for name, position in self._bank.consumers.positions.items():
            lag.add_metric([name], max(0, conveyor.head.position - position))
        yield lag
        alarm = GaugeMetricFamily(
            "scudo_log_gap_alarm", "1 when a consumer met a gap in the log", labels=["consumer"]
        )
        for name in self._bank.consumers.positions:
            alarm.add_metric([name], float(name in self._bank.consumers.alarms))
        yield alarm
        yield from self._evidence()
        yield from self._callbacks()
        if self._auditor is not None:
            yield from self._recount(self._auditor)
        yield from self._vault()

        controls = self._bank.rooms.controls
        degraded = GaugeMetricFamily(
            "scudo_control_degraded",
            "1 and a level of escalation more each while a control does not work, 0 while it does",
            labels=["control", "owner"],
        )
        levels = controls.degraded()
        for control in controls.declared.values():
            level = 1 + levels[control.name] if control.name in levels else 0
            degraded.add_metric([control.name, control.technical_owner], level)
        yield degraded
        yield CounterMetricFamily(
            "scudo_requests_untrailed",
            "Requests that the audit trail had no room for",
            value=self._bank.requests.lost,
        )

    def _vault(self) -> Iterator[Metric]:
        status = None if self._watch is None else self._watch.status
        refused = CounterMetricFamily(
            "scudo_vault_connections_refused",
            "Connections of the network that the vault did not take or has ended",
            labels=["cause"],
        )
        for cause, times in () if status is None else sorted(status.turned_away.items()):
            refused.add_metric([cause], times)
        yield refused

    def _callbacks(self) -> Iterator[Metric]:
        callbacks = self._bank.rooms.callbacks
        accepted = CounterMetricFamily(
            "scudo_callbacks", "Callbacks that were carried out", labels=["callback"]
        )
        for name, count in callbacks.accepted.items():
            accepted.add_metric([name], count)
        yield accepted
        refused = CounterMetricFamily(
            "scudo_callback_refusals",
            "Callbacks that were refused",
            labels=["callback", "code"],
        )
        for (name, code), count in callbacks.refused.items():
            refused.add_metric([name, code], count)
        yield refused

    @staticmethod
    def _recount(auditor: AuditorProcess) -> Iterator[Metric]:
        recount = auditor.recount
        for name, value, text in (
            ("alarm", float(not auditor.is_well), "1 when a row is wrong, or a round is overdue"),
            ("position", recount.position, "Up to which position the log was recounted"),
            ("rows", recount.rows, "Rows recounted since the auditor started"),
            ("rounds", recount.rounds, "Times that all rows were recounted"),
            (
                "round_finished_seconds",
                recount.finished_at / SECOND_US,
                "When the last round ended, seconds since 1970",
            ),
        ):
            yield GaugeMetricFamily(f"scudo_auditor_{name}", text, value=value)

    def _evidence(self) -> Iterator[Metric]:
        notary = self._bank.notary
        yield GaugeMetricFamily(
            "scudo_evidence_alarm",
            "1 when log, tree, signed heads and witness contradict each other",
            value=float(notary.alarm is not None),
        )
        for name, number, text in (
            ("tree_batches", notary.size, "Batches in the log's tree"),
            ("signed_heads", notary.signed, "Heads of the log that were signed"),
            ("witnessed_heads", notary.exported, "Signed heads that the witness has"),
        ):
            yield GaugeMetricFamily(f"scudo_{name}", text, value=number)


class EdgeCollector(Collector):
    """Shows how the server's certificate does, partners' refused tokens, and flags' fallbacks."""

    def __init__(
        self, tls: ServerTls | None, door: partners.Doorkeeper, reader: flags.FlagReader
    ) -> None:
        """Watch one server."""
        self._tls = tls
        self._door = door
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """Read everything once."""
        refused = CounterMetricFamily(
            "scudo_partner_refusals", "Refusals of partners and their tokens", labels=["code"]
        )
        for code, count in sorted(self._door.refused.items()):
            refused.add_metric([code], count)
        yield refused
        fallbacks = CounterMetricFamily(
            "scudo_flag_fallbacks",
            "Times that a coded default stood in for a feature flag",
            labels=["reason"],
        )
        for reason, times in sorted(self._reader.fallbacks.items()):
            fallbacks.add_metric([reason], times)
        yield fallbacks
        if self._tls is None:
            return
        for name, number, text in (
            ("expires_at", self._tls.expires_at // SECOND_US, "When the certificate ends, Unix"),
            ("alarm", int(self._tls.is_alarming), "1 when it ends soon or cannot be renewed"),
        ):
            yield GaugeMetricFamily(f"scudo_tls_certificate_{name}", text, value=number)
        yield CounterMetricFamily(
            "scudo_tls_renewals", "Times the certificate was renewed", value=self._tls.renewals
        )
