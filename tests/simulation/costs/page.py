"""The section of `docs/operating.md` on costs, made of the table: `python -m simulation.costs.page` writes it."""

from pathlib import Path
from typing import Final

from simulation.costs.counting import DELETES, EXPIRING, READS, WRITES
from simulation.costs.table import ROWS, Figure, Row

PAGE: Final = Path(__file__).parents[3] / "docs" / "operating.md"
HEADING: Final = "\n## What it costs\n"
NEXT: Final = "\n## "

_PRICES: Final = {READS: 0.06, WRITES: 0.18, DELETES: 0.02, EXPIRING: 0.02}
"""Dollars for 100,000 documents: Firestore, Standard edition, multi-region nam5, as Google's page of prices has them."""
_A_MONTH_MINUTES: Final = 30 * 24 * 60

_BILLS: Final = (
    ("a million messages, each alone, all members connected", "send", 2, 1_000_000),
    ("a million messages while Redis is away", "send_without_redis", 2, 1_000_000),
    ("a million messages in batches of 10", "send_at_once", 10, 100_000),
    ("a million messages, each with one offline member who is notified", "send_to_absent", 1, 1_000_000),
    ("a million receipts", "receipt", 2, 1_000_000),
    ("a million connects of users with 10 conversations, in no cache", "connect_cold", 10, 1_000_000),
    ("the same; Redis has the lists", "connect_listed", 10, 1_000_000),
    ("a million reconnects within the grace, to another instance", "reconnect_other", 10, 1_000_000),
    ("a million users with 10 conversations who leave for longer", "leave", 10, 1_000_000),
    ("a million conversations of 5 members", "create", 5, 1_000_000),
    ("an idle instance of 3, for 30 days", "idle", 3, _A_MONTH_MINUTES),
)
_HEAD: Final = f"""{HEADING}
Made of `tests/simulation/costs` by `make costs`. Tests count each figure in a cluster of real instances, on a simulated Firestore
and a simulated Redis, and fail where a figure has changed.

Firestore bills one read for each document of an answer, and for each one that was asked for and does not exist. A query costs one
read at least. Each document of a commit is one write or one delete. Documents with `expireAt` are deleted by the TTL policies:
those deletes are billed as well. The calls of scripts run inside Redis. Opening a connection to Redis is not counted, because it
stays open.

| event | reads | writes | deletes | deletes by TTL | Redis commands | scripts among them | calls of scripts |
|---|---|---|---|---|---|---|---|
"""
_BETWEEN: Final = """
* Every instance looks again and again at instance states, the generation, revocations, marks and leases. Only the lines of an
  idle instance have that.
* A user who connects was offline before, so other members are told of the user's presence. Each conversation has one other
  member, who is offline.
* The U users of an instance have one conversation each.
* `HOLDFAST_PRESENCE__GRACE_SECONDS` is 15, as by default. Below 14.5, the conversations of a user who left are looked through
  three times. Until then the instance that took the user offline reads the user's document once a second, and asks Redis
  whether the user is connected.
* `FLUSHALL` costs the store nothing. Its commands are those of two instances; with 1,000 users there are 5 more.
* While Redis is away, a change of a user's list is looked for in the store for a minute. Each second that costs one read for
  each conversation of the user, at each instance with a connection of the user.

### The bill

The dollars are those of Firestore, Standard edition, in the multi-region nam5 (United States). Google's page on Firestore's
pricing listed {reads} for 100,000 reads, {writes} for writes and {deletes} for deletes in 2025. Prices change, and single regions
cost less: put your own into the formula. Storage, backups and network are not in it.

```
dollars = reads * price_of_a_read + writes * price_of_a_write + (deletes + deletes_by_ttl) * price_of_a_delete
```

| what | reads | writes | deletes, by TTL included | dollars | Redis commands |
|---|---|---|---|---|---|
"""


def section() -> str:
    """From its heading to before the next one."""
    prices = {name: f"{_PRICES[name]:.2f}" for name in (READS, WRITES, DELETES)}
    bills = "".join(_bill(*each) for each in _BILLS)
    return _HEAD + "".join(_line(row) for row in ROWS.values()) + _BETWEEN.format(**prices) + bills


def found(page: str) -> str:
    """The section as the page has it."""
    return HEADING + page.split(HEADING, 1)[1].split(NEXT, 1)[0]


def _line(row: Row) -> str:
    figures = (_figure(figure, row.letter) for _, figure in row.cost.figures())
    return f"| {row.what} | {' | '.join(figures)} |\n"


def _figure(figure: Figure, letter: str) -> str:
    base, each = figure
    more = letter if each == 1 else f"{each} {letter}"
    if not each:
        return str(base)
    return f"{base} + {more}" if base else more


def _bill(what: str, name: str, size: int, times: int) -> str:
    cost = ROWS[name].cost.at(size)
    dollars = times * sum(cost[column] * price for column, price in _PRICES.items()) / 100_000
    numbers = (cost[READS], cost[WRITES], cost[DELETES] + cost[EXPIRING])
    documents = " | ".join(f"{number * times:,}" for number in numbers)
    return f"| {what} | {documents} | {dollars:,.2f} | {cost['commands'] * times:,} |\n"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(found(text), section()), encoding="utf-8")
