"""What is lasting: the shop's database, and what others would keep for it.

The tables of the payment provider, of the mail gateway and of the customer journal stand in
for systems of other people. Each function is one transaction. A column that is ``UNIQUE`` and
may be ``NULL`` is an idempotency key: without one, every call counts; with one, the first.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from dataclasses import dataclass
from functools import cache

__all__ = [
    "Cancelled",
    "Conflict",
    "Line",
    "Order",
    "OutOfStock",
    "append_to_journal",
    "cancel",
    "close",
    "hand_over",
    "is_reserved",
    "journal",
    "mails",
    "order",
    "overdue",
    "parcels",
    "pay",
    "payments",
    "place",
    "reserve",
    "reset",
    "send_mail",
    "set_stock_and_reserve",
    "stock",
]

_SCHEMA = """
CREATE TABLE stock (article TEXT PRIMARY KEY, level INTEGER NOT NULL);
CREATE TABLE orders (key TEXT PRIMARY KEY, pickup REAL, cancelled INTEGER DEFAULT 0);
CREATE TABLE people (key TEXT, person TEXT, PRIMARY KEY (key, person));
CREATE TABLE lines (key TEXT, number INTEGER, article TEXT, quantity INTEGER, price INTEGER,
                    reserved INTEGER DEFAULT 0, PRIMARY KEY (key, number));
CREATE TABLE payments (id TEXT, key TEXT, amount INTEGER, refunded INTEGER DEFAULT 0,
                       idempotency TEXT UNIQUE);
CREATE TABLE parcels (id TEXT, key TEXT, idempotency TEXT UNIQUE);
CREATE TABLE mails (recipient TEXT, text TEXT, idempotency TEXT UNIQUE);
CREATE TABLE journal (key TEXT, version INTEGER, text TEXT, PRIMARY KEY (key, version));
"""
_TABLES = ("stock", "orders", "people", "lines", "payments", "parcels", "mails", "journal")


class OutOfStock(Exception):
    """There is less of an article than an order wants."""


class Cancelled(Exception):
    """The order was cancelled meanwhile."""


class Conflict(Exception):
    """Somebody else wrote to the journal since it was read."""


@dataclass(frozen=True)
class Line:
    """One line of an order: an article, how many, and the price of one in cents."""

    article: str
    quantity: int
    price: int


@dataclass(frozen=True)
class Order:
    """An order as it was placed.

    Attributes:
        key: Its number, which the customer knows, too.
        lines: What is ordered. An article may be in several lines: one is a present.
        people: Who is told when it is on its way.
        pickup: When the carrier comes for it, in seconds since the epoch.
        cancelled: It is to have no effects any more.
    """

    key: str
    lines: tuple[Line, ...]
    people: tuple[str, ...]
    pickup: float
    cancelled: bool = False

    @property
    def amount(self) -> int:
        """What the customer pays, in cents."""
        return sum(line.quantity * line.price for line in self.lines)


@cache
def _database(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _db() -> sqlite3.Connection:
    return _database(os.environ.get("EXACTLY_ONCE_DB", "orders.sqlite3"))


def _rows(query: str, *values: object) -> list[tuple]:
    return _db().execute(query, values).fetchall()


def _write(query: str, *values: object) -> int:
    """One statement as a transaction of its own; how many rows it changed."""
    with _db() as db:
        return db.execute(query, values).rowcount


def close() -> None:
    """Let go of the database."""
    _db().close()
    _database.cache_clear()


def reset(**levels: int) -> None:
    """Begin anew, with this stock."""
    drop = "".join(f"DROP TABLE IF EXISTS {table};" for table in _TABLES)
    _db().executescript(drop + _SCHEMA)
    with _db() as db:
        db.executemany("INSERT INTO stock VALUES (?, ?)", levels.items())


# --- the shop's own ---


def place(new: Order) -> None:
    """Note an order."""
    with _db() as db:
        db.execute("INSERT INTO orders (key, pickup) VALUES (?, ?)", (new.key, new.pickup))
        db.executemany("INSERT INTO people VALUES (?, ?)", [(new.key, p) for p in new.people])
        db.executemany(
            "INSERT INTO lines (key, number, article, quantity, price) VALUES (?, ?, ?, ?, ?)",
            [
                (new.key, n, line.article, line.quantity, line.price)
                for n, line in enumerate(new.lines)
            ],
        )


def order(key: str) -> Order:
    """Read an order."""
    [(pickup, cancelled)] = _rows("SELECT pickup, cancelled FROM orders WHERE key = ?", key)
    lines = _rows("SELECT article, quantity, price FROM lines WHERE key = ? ORDER BY number", key)
    people = _rows("SELECT person FROM people WHERE key = ? ORDER BY person", key)
    return Order(
        key,
        lines=tuple(Line(*line) for line in lines),
        people=tuple(person for (person,) in people),
        pickup=pickup,
        cancelled=bool(cancelled),
    )


def overdue(moment: float) -> list[str]:
    """Orders that should have been picked up by a moment, and are neither done nor cancelled."""
    query = (
        "SELECT key FROM orders WHERE pickup < ? AND NOT cancelled AND "
        "(SELECT count(*) FROM journal WHERE journal.key = orders.key) < "
        "(SELECT count(*) FROM people WHERE people.key = orders.key)"
    )
    return [key for (key,) in _rows(query, moment)]


def stock(article: str) -> int:
    """How many there are."""
    [(level,)] = _rows("SELECT level FROM stock WHERE article = ?", article)
    return int(level)


def is_reserved(key: str, number: int) -> bool:
    """Whether a line of an order has been reserved."""
    query = "SELECT 1 FROM lines WHERE key = ? AND number = ? AND reserved"
    return bool(_rows(query, key, number))


def set_stock_and_reserve(key: str, number: int, article: str, level: int) -> None:
    """Write what the stock shall be from now on, and that the line is reserved."""
    with _db() as db:
        db.execute("UPDATE stock SET level = ? WHERE article = ?", (level, article))
        db.execute("UPDATE lines SET reserved = 1 WHERE key = ? AND number = ?", (key, number))


def reserve(key: str, number: int) -> None:
    """Take a line from the stock, unless that was done: look and write in one transaction.

    Raises:
        Cancelled: The order was.
        OutOfStock: There is not enough.
    """
    wanted = order(key)
    line = wanted.lines[number]
    with _db() as db:
        marked = db.execute(
            "UPDATE lines SET reserved = 1 WHERE key = :key AND number = :n AND NOT reserved "
            "AND NOT (SELECT cancelled FROM orders WHERE key = :key)",
            {"key": key, "n": number},
        )
        if not marked.rowcount:
            if wanted.cancelled:
                raise Cancelled(key)
            return
        taken = db.execute(
            "UPDATE stock SET level = level - :q WHERE article = :article AND level >= :q",
            {"q": line.quantity, "article": line.article},
        )
        if not taken.rowcount:
            raise OutOfStock(line.article)  # and the transaction is rolled back


def cancel(key: str) -> None:
    """Take all effects of an order back, unless that was done; none is to follow."""
    with _db() as db:
        db.execute("UPDATE orders SET cancelled = 1 WHERE key = ?", (key,))
        db.execute(
            "UPDATE stock SET level = level + (SELECT coalesce(sum(quantity), 0) FROM lines "
            "WHERE key = ? AND reserved AND lines.article = stock.article)",
            (key,),
        )
        db.execute("UPDATE lines SET reserved = 0 WHERE key = ?", (key,))
        db.execute("UPDATE payments SET refunded = 1 WHERE key = ?", (key,))


# --- others' ---


def pay(key: str, amount: int, idempotency: str | None = None) -> None:
    """Ask the payment provider for money."""
    _write(
        "INSERT OR IGNORE INTO payments (id, key, amount, idempotency) VALUES (?, ?, ?, ?)",
        str(uuid.uuid4()),
        key,
        amount,
        idempotency,
    )


def payments(key: str) -> list[int]:
    """What was paid for an order and not refunded, in cents."""
    return [a for (a,) in _rows("SELECT amount FROM payments WHERE key = ? AND NOT refunded", key)]


def hand_over(key: str, idempotency: str | None = None) -> None:
    """Give the parcel of an order to the carrier."""
    _write(
        "INSERT OR IGNORE INTO parcels VALUES (?, ?, ?)", str(uuid.uuid4()), key, idempotency
    )


def parcels(key: str) -> int:
    """How many parcels went out for an order."""
    return len(_rows("SELECT 1 FROM parcels WHERE key = ?", key))


def send_mail(recipient: str, text: str, idempotency: str | None = None) -> None:
    """Hand a mail to the gateway."""
    _write("INSERT OR IGNORE INTO mails VALUES (?, ?, ?)", recipient, text, idempotency)


def mails() -> list[str]:
    """The recipients of all mails, in order."""
    return [recipient for (recipient,) in _rows("SELECT recipient FROM mails ORDER BY rowid")]


def journal(key: str) -> list[str]:
    """The entries of an order's journal; how many there are is its version."""
    return [t for (t,) in _rows("SELECT text FROM journal WHERE key = ? ORDER BY version", key)]


def append_to_journal(key: str, version: int, text: str) -> None:
    """Add an entry to an order's journal.

    Raises:
        Conflict: It has another version by now.
    """
    try:
        _write("INSERT INTO journal VALUES (?, ?, ?)", key, version + 1, text)
    except sqlite3.IntegrityError:
        raise Conflict(key) from None
