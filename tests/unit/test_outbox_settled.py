"""A notification is settled once, also where the store cannot take note of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from alpimonitor_watchdog.store import Queued, Store, StoreFull
from alpimonitor_watchdog.store.connection import Connection
from alpimonitor_watchdog.store.outbox import Outbox
from tests.stored import AT, CHANNELS, OPENED, opening


def settle(outbox: Outbox, queued: Queued, end: str) -> None:
    if end == "delivered":
        outbox.delivered(queued, AT)
    else:
        outbox.dead(queued, AT, "answered 410")


@pytest.mark.parametrize(("first", "second"), [("delivered", "dead"), ("dead", "delivered")])
def test_what_was_settled_on_a_full_disk_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    store = Store.open(tmp_path, AT, CHANNELS)
    store.save(opening(), AT, [OPENED])
    pending = store.outbox.pending("ops")

    def full(connection: Connection) -> None:
        raise StoreFull("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(Connection, "transaction", full)
        with pytest.raises(StoreFull):
            settle(store.outbox, pending[0], first)
        with suppress(StoreFull):
            settle(store.outbox, pending[0], second)
    store.save(opening(), AT)
    assert store.outbox.counts()["ops"] == {"queued": 0, "delivered": 0, "dead": 0} | {first: 1}
    store.close()
