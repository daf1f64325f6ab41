"""Refusals of the simulation and of replays."""

from scudo.kernel import Refusal


class FileUnreadable(Refusal):
    """Raised when a file is not there, is not Parquet, or is damaged or cut short."""

    code = "file_unreadable"
    next_step = "Nothing moved. Get the file again, whole, and check its size and digest."


class FileForeign(Refusal):
    """Raised when a Parquet file does not have the columns of card transactions."""

    code = "file_foreign"
    next_step = (
        "Nothing moved. Give a file with the columns transaction_id, tx_datetime, customer_id,"
        " terminal_id, tx_amount_minor, tx_fraud and tx_fraud_scenario."
    )


class FileMalformed(Refusal):
    """Raised when rows of a file cannot be transactions; names the first of them."""

    code = "file_malformed"
    next_step = "Nothing moved. Correct the row that is named and replay the file again."


class FileOutOfTime(Refusal):
    """Raised when the log's clock has passed the time at which a file would go on."""

    code = "file_out_of_time"
    kind = "conflict"
    next_step = "Nothing moved. Replay this file into a bank of its own (another SCUDO_HOME)."


class ReplayStopped(Refusal):
    """Raised when the bank could not take a replayed event; those before it are done."""

    code = "replay_stopped"
    kind = "unavailable"
    retryable = True
    next_step = "Run the same command again: it goes on where this run stopped."


class DayOutOfTime(Refusal):
    """Raised when a simulated day is to be lived in a bank that follows our own time by now."""

    code = "day_out_of_time"
    kind = "conflict"
    next_step = (
        "Nothing moved. Live another day in a bank of its own: unset SCUDO_HOME, or name a new"
        " folder. A day that was lived here before is told again by its own seed and payments."
    )


class JourneyBroken(Refusal):
    """Raised when the bank answered a step of a customer's way otherwise than it has to."""

    code = "journey_broken"
    kind = "conflict"
    next_step = "Look at the log of this bank: what it refused or let through is recorded there."


class BenchUnknown(Refusal):
    """Raised when a benchmark is asked for a measure that does not exist."""

    code = "bench_unknown"
    next_step = "Run `scudo bench --help` for the names."
