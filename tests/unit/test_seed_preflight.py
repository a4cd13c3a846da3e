"""A seed is refused against a database that it was not clearly meant for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alpimonitor_api.tables import SeedMode
from alpimonitor_seed.plan import Wish
from alpimonitor_seed.preflight import Circumstances, Reason, refusal
from alpimonitor_seed.record import application_name

ADDS = Wish()
CHANGES = Wish(mode=SeedMode.CONVERGE)
PRUNES = Wish(prune=True)
LOCAL = Circumstances(
    local=True, environment="development", host="127.0.0.1", database="alpi", allowed=False, confirmed=None
)
REMOTE = replace(LOCAL, local=False, host="db.example", environment="staging")
PRODUCTION = replace(LOCAL, environment="production")  # through a tunnel, for instance


@pytest.mark.parametrize(
    ("seen", "wish", "reason"),
    [
        (LOCAL, ADDS, None),
        (LOCAL, CHANGES, None),
        (LOCAL, PRUNES, None),
        (replace(LOCAL, confirmed="alpi"), PRUNES, None),
        (replace(LOCAL, confirmed="other"), ADDS, Reason.OTHER_DATABASE),
        (replace(LOCAL, environment=None), ADDS, Reason.NOT_ALLOWED),
        (REMOTE, ADDS, Reason.NOT_ALLOWED),
        (PRODUCTION, ADDS, Reason.NOT_ALLOWED),
        (PRODUCTION, CHANGES, Reason.NOT_ALLOWED),
        (replace(REMOTE, allowed=True), ADDS, None),
        (replace(PRODUCTION, allowed=True), ADDS, None),
        (replace(PRODUCTION, allowed=True), CHANGES, Reason.NOT_CONFIRMED),
        (replace(PRODUCTION, allowed=True), PRUNES, Reason.NOT_CONFIRMED),
        (replace(REMOTE, allowed=True), CHANGES, Reason.NOT_CONFIRMED),
        (replace(REMOTE, allowed=True, confirmed="alpi"), CHANGES, None),
        (replace(REMOTE, allowed=True, confirmed="other"), PRUNES, Reason.OTHER_DATABASE),
        (replace(REMOTE, confirmed="alpi"), CHANGES, Reason.NOT_ALLOWED),  # confirming does not allow
    ],
)
def test_a_seed_runs_only_where_it_was_meant(seen: Circumstances, wish: Wish, reason: Reason | None) -> None:
    refused = refusal(seen, wish)
    assert (refused.reason if refused else None) is reason


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (REMOTE, "The database alpi on db.example is not on this machine."),
        (PRODUCTION, "The database alpi on 127.0.0.1 says that it is production."),
        (replace(LOCAL, environment=None), "its deployment row is missing."),
    ],
)
def test_a_refusal_says_what_where_and_what_to_do(seen: Circumstances, what: str) -> None:
    refused = refusal(seen, ADDS)
    assert refused is not None
    assert what in refused.text
    assert "ALLOW_PROD_SEED=1 alpimonitor seed" in refused.text


def test_an_unconfirmed_change_names_the_option_to_add() -> None:
    refused = refusal(replace(PRODUCTION, allowed=True), PRUNES)
    assert refused is not None
    assert "--prune may change or delete rows" in refused.text
    assert "--confirm-database alpi" in refused.text


@pytest.mark.parametrize("host", ["vm", "a" * 200, "évolène-1", "tab\there"])
def test_the_application_name_fits_and_keeps_the_process_id(host: str) -> None:
    name = application_name("0.1.0", host, 4194304)
    assert len(name.encode()) <= 63
    assert name.startswith("alpimonitor-seed 0.1.0 ")
    assert name.endswith(" 4194304")
    assert name.isascii()
    assert name.isprintable()
