"""Which measures there are, and how they are run one after the other."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from scudo.simulation.bench import evidence, identity, inside, outside, secured, vaulted
from scudo.simulation.bench.stage import Figures, Report, Terms
from scudo.simulation.errors import BenchUnknown

Measure = Callable[[Terms, Report], Figures]

#: By name; a name's fields are figures that other systems and later versions compare with.
MEASURES: Final[dict[str, Measure]] = {
    "post_batch": inside.post_batch,
    "post_batch_mixed": inside.post_batch_mixed,
    "post_hot_account": inside.post_hot_account,
    "decide": inside.decide,
    "feature_memory": inside.feature_memory,
    "replay": inside.replay,
    "prove": evidence.prove,
    "auditor": evidence.auditor,
    "token_check": identity.token_check,
    "cold_start": outside.cold_start,
    "vault_read": vaulted.vault_read,
}
#: These ask one bank over HTTP, which is filled once; each leaves more payments to the next.
OVER_HTTP: Final[dict[str, Callable[[outside.Stage, Terms, Report], Figures]]] = {
    "balance_http": outside.balance_http,
    "authorise_http_bank": outside.authorise_http_bank,
    "authorise_http": outside.authorise_http,
    "authorise_mtls": secured.authorise_mtls,
    "authorise_dpop": secured.authorise_dpop,
}
#: Names that come out of another measure.
COME_WITH: Final = {"bytes_per_payment": "authorise_http", "wal_per_payment": "authorise_http"}


def run(
    names: Sequence[str],
    *,
    seconds: int,
    large: bool,
    file: Path,
    report: Report,
) -> Figures:
    """Run measures, and write their figures to a file beside those it has.

    Args:
        names: of measures; none means all.
        seconds: how long those that run for a time do so.
        large: store five million payments before the measures over HTTP.
        file: JSON object of name to field to number; other names in it stay.
        report: told what happens, line by line.

    Raises:
        BenchUnknown: if there is no measure of a name.
    """
    known = [*MEASURES, *OVER_HTTP]
    wanted = {COME_WITH.get(name, name) for name in names or known}
    for name in wanted - set(known):
        message = f"there is no measure {name}; there are {', '.join(known)}"
        raise BenchUnknown(message)
    terms = Terms(seconds=seconds, large=large)
    for name in MEASURES:
        if name in wanted:
            report(f"── {name}")
            _keep(MEASURES[name](terms, report), file=file, report=report)
    over_http = [name for name in OVER_HTTP if name in wanted]
    if over_http:
        report(f"── a bank for {', '.join(over_http)}")
        with outside.filled(terms, report) as stage:
            for name in over_http:
                report(f"── {name}")
                _keep(OVER_HTTP[name](stage, terms, report), file=file, report=report)
    figures: Figures = json.loads(file.read_text())
    return figures


def _keep(found: Figures, *, file: Path, report: Report) -> None:
    """Write figures beside those that the file has: what was measured outlives Ctrl-C."""
    figures: Figures = json.loads(file.read_text()) if file.exists() else {}
    for key, fields in found.items():
        figures[key] = fields
        shown = ", ".join(f"{field} {value:,}" for field, value in fields.items())
        report(f"   {key}: {shown}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
