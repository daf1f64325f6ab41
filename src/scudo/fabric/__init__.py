"""Machinery without a banking word: PostgreSQL, the log, the conveyor, consumers, HTTP."""

from scudo.fabric import migration, postgres, routes, settings, web
from scudo.fabric.batches import (
    SealedBatch,
    StoredLeaf,
    WholeBatch,
    find_batch,
    list_batches,
    summarise_keys,
)
from scudo.fabric.carried import (
    Application,
    Item,
    Limits,
    Tally,
    idempotency_digest,
    refused,
    request_digest,
)
from scudo.fabric.consumers import (
    Consumer,
    ConsumerRunner,
    GapInLog,
    Recorded,
    add_consumer,
    is_batch_end,
    read_log,
    replay_from,
)
from scudo.fabric.conveyor import Conveyor
from scudo.fabric.deadlines import Deadlines, Residence
from scudo.fabric.evidence import BadRow, RowBroken, Seen, Stretch, Witness
from scudo.fabric.log import (
    INSTANT,
    Answer,
    Batch,
    Command,
    Entry,
    Event,
    EventCatalogue,
    Head,
)
from scudo.fabric.log.errors import BankUnavailable, ClockIsLive, WriterFenced
from scudo.fabric.lookup import Lookup, Take
from scudo.fabric.queries import ask_commands
from scudo.fabric.reads import ReadPool
from scudo.fabric.records import (
    RECORD,
    RECORDS,
    Keeper,
    Records,
    RecordWitness,
    Reference,
    Register,
    find_record,
)
from scudo.fabric.rows import (
    HEADER,
    TRAILER,
    Int8Array,
    Table,
    TextArray,
    UuidArray,
    queries,
    sized,
)
from scudo.fabric.stored import Chained, first_int8, read_images
from scudo.fabric.tokeniser import Tokeniser, Tokens, load_key, token_from, token_message
from scudo.fabric.touched import Touched
from scudo.fabric.verification import Walk
from scudo.fabric.writer import Guarded, Store, Writer

__all__ = [
    "HEADER",
    "INSTANT",
    "RECORD",
    "RECORDS",
    "TRAILER",
    "Answer",
    "Application",
    "BadRow",
    "BankUnavailable",
    "Batch",
    "Chained",
    "ClockIsLive",
    "Command",
    "Consumer",
    "ConsumerRunner",
    "Conveyor",
    "Deadlines",
    "Entry",
    "Event",
    "EventCatalogue",
    "GapInLog",
    "Guarded",
    "Head",
    "Int8Array",
    "Item",
    "Keeper",
    "Limits",
    "Lookup",
    "ReadPool",
    "RecordWitness",
    "Recorded",
    "Records",
    "Reference",
    "Register",
    "Residence",
    "RowBroken",
    "SealedBatch",
    "Seen",
    "Store",
    "StoredLeaf",
    "Stretch",
    "Table",
    "Take",
    "Tally",
    "TextArray",
    "Tokeniser",
    "Tokens",
    "Touched",
    "UuidArray",
    "Walk",
    "WholeBatch",
    "Witness",
    "Writer",
    "WriterFenced",
    "add_consumer",
    "ask_commands",
    "find_batch",
    "find_record",
    "first_int8",
    "idempotency_digest",
    "is_batch_end",
    "list_batches",
    "load_key",
    "migration",
    "postgres",
    "queries",
    "read_images",
    "read_log",
    "refused",
    "replay_from",
    "request_digest",
    "routes",
    "settings",
    "sized",
    "summarise_keys",
    "token_from",
    "token_message",
    "web",
]
