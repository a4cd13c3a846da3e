"""The environment variables that the seed reads, for whoever explains them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Read:
    """A variable that is read. `default` as one would write it; None where there is none."""

    default: str | None
    meaning: str


VARIABLES = {
    "SEED_DATABASE_URL": Read("`DATABASE_URL`", "the database, as the role that seeds"),
    "ALLOW_PROD_SEED": Read(
        None,
        "`1` lets a single command seed a database that is not local, or that says it is production; "
        "never set it for good",
    ),
    "LOG_LEVEL": Read("info", "debug, info, warning, error or critical"),
    "LOG_FORMAT": Read("plain", "plain: a line for people; json: an object a line"),
}
