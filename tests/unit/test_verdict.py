"""What happened: each verdict from the signals that tell it from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.evidence import Operation
from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.seen import DatabaseSeen, TableExpected, TableSeen
from alpimonitor_watchdog.core.verdict import Circumstance, Confidence, What, conclude
from alpimonitor_watchdog.core.words import Unseen
from tests.unit.evidence_cases import (
    ARMED,
    BEFORE,
    BOOT,
    DONE,
    ELDER_CLUSTER,
    EXPECTED,
    HERE,
    NEW_CLUSTER,
    NO_RECORDER,
    OLD_CLUSTER,
    SEEN,
    SENSOR,
    STATION,
    WELL,
    after,
    case,
    event,
    loss,
    seen,
)

CERTAIN, LIKELY, OPEN = Confidence.CERTAIN, Confidence.LIKELY, Confidence.OPEN
REFUSED = Unseen.REFUSED
GONE: dict[str, Any] = {"station": None, "sensor": None}
ALL_LOST = (loss(None), loss(None, "sensor"))
UNRECORDED: dict[str, Any] = {"recorder": NO_RECORDER, "arming_before": ""}
RESTARTED = BOOT + timedelta(days=20)


def another(system: str | None, oid: int = 16384, **row: str | None) -> dict[str, Any]:
    """The two fields of a case in which another database answers."""
    identity = replace(Identity(system, oid, None, None), **row)
    return {
        "seen": seen(station=0, identity=identity),
        "after": after({"rows": 0}, identity=identity, started=SEEN, lsn=2_000_000, next_transaction=700),
    }


def refused(code: str | None, unseen: Unseen = REFUSED, detail: str = "no entry") -> dict[str, Any]:
    return {"seen": DatabaseSeen(unseen, detail, code=code, clock=None), "losses": (), "after": BEFORE}


@dataclass(frozen=True)
class Told:
    """A case, what is concluded, and a piece of its evidence or of what was not observable."""

    sentence: str
    fields: dict[str, Any]
    what: What
    confidence: Confidence
    quoted: str = ""


TABLE = [
    Told(
        "the server says that there is no such database",
        refused("3D000"),
        What.DATABASE_DROPPED,
        LIKELY,
        "it was there at",
    ),
    Told(
        "no such database, and it was never seen: a mistyped name reads the same",
        refused("3D000") | {"before": None, "after": None},
        What.DATABASE_DROPPED,
        OPEN,
        "whether it was ever there",
    ),
    Told(
        "the role is not let in any more: several things read like that",
        refused("28P01"),
        What.UNKNOWN,
        OPEN,
        "a new or another cluster answers",
    ),
    Told("nothing answers", refused(None, Unseen.UNREACHABLE), What.UNKNOWN, OPEN, "the database itself"),
    Told(
        "another cluster, made since all was well, with nothing in it",
        another(NEW_CLUSTER),
        What.CLUSTER_REINITIALISED,
        CERTAIN,
        f"system identifier {NEW_CLUSTER}, was {OLD_CLUSTER}",
    ),
    Told(
        "a new cluster that was migrated at once has a deployment row of its own",
        another(NEW_CLUSTER, deployment="d-2", environment="production"),
        What.CLUSTER_REINITIALISED,
        LIKELY,
        "initialised at 12:10:01, after all was well",
    ),
    Told(
        "a new cluster with the old deployment row holds a dump of it",
        another(NEW_CLUSTER, deployment="d-1", environment="production"),
        What.CLUSTER_REINITIALISED,
        CERTAIN,
        "deployment row d-1 in both",
    ),
    Told(
        "a cluster of earlier, of which no deployment row tells anything",
        another(ELDER_CLUSTER),
        What.CLUSTER_REINITIALISED,
        LIKELY,
        "no deployment row tells",
    ),
    Told(
        "a cluster of earlier with another deployment: the address leads elsewhere",
        another(ELDER_CLUSTER, deployment="d-2", environment="production"),
        What.WRONG_DATABASE,
        CERTAIN,
        "deployment row d-2, was d-1",
    ),
    Told(
        "another environment is another database, however new its cluster",
        another(NEW_CLUSTER, deployment="d-2", environment="staging"),
        What.WRONG_DATABASE,
        CERTAIN,
        "environment staging, was production",
    ),
    Told(
        "at first contact the deployment row says what it is",
        {
            "before": None,
            "seen": seen(station=0, identity=replace(HERE, environment="staging")),
        },
        What.WRONG_DATABASE,
        LIKELY,
        "[database] environment production",
    ),
    Told(
        "the primary is a standby now, and every row is there",
        {"seen": seen(in_recovery=True), "losses": (), "after": after(in_recovery=True)},
        What.BECAME_STANDBY,
        CERTAIN,
        "a standby",
    ),
    Told(
        "a standby that is behind is a standby first",
        {
            "seen": seen(station=0, in_recovery=True),
            "after": after({"rows": 0}, in_recovery=True, lsn=9_000_000),
        },
        What.BECAME_STANDBY,
        CERTAIN,
        "1000000 bytes before",
    ),
    Told(
        "a standby that always was one explains nothing",
        {
            "before": replace(BEFORE, in_recovery=True),
            "seen": seen(station=0, in_recovery=True),
            "after": after({"rows": 0, "filenode": 99999}, in_recovery=True),
            **UNRECORDED,
        },
        What.TABLE_TRUNCATED,
        LIKELY,
    ),
    Told(
        "the log ends earlier, on the same timeline",
        {"after": after({"rows": 0}, lsn=9_000_000, next_transaction=700, started=RESTARTED)},
        What.OLDER_BACKUP_RESTORED,
        CERTAIN,
        "the log ends 1000000 bytes earlier",
    ),
    Told(
        "an older backup in which every row is there is one all the same",
        {"seen": seen(), "losses": (), "after": after(lsn=9_000_000, started=RESTARTED)},
        What.OLDER_BACKUP_RESTORED,
        CERTAIN,
    ),
    Told(
        "the timeline before the last failover",
        {
            "before": replace(BEFORE, timeline=2),
            "seen": seen(),
            "losses": (),
            "after": after(timeline=1, started=RESTARTED),
        },
        What.OLDER_BACKUP_RESTORED,
        LIKELY,
        "timeline 1, was 2",
    ),
    Told(
        "by transactions alone, when the log has grown over it since",
        {"after": after({"rows": 0}, next_transaction=500, started=RESTARTED)},
        What.OLDER_BACKUP_RESTORED,
        LIKELY,
        "the next transaction is 240 lower",
    ),
    Told(
        "a point-in-time recovery to before the rows came",
        {"after": after({"rows": 0}, lsn=9_000_000, next_transaction=700, timeline=2, started=RESTARTED)},
        What.OLDER_BACKUP_RESTORED,
        LIKELY,
        "point-in-time recovery",
    ),
    Told(
        "a failover ends the log earlier, and nothing is lost",
        {"seen": seen(), "losses": (), "after": after(lsn=9_999_000, timeline=2, started=RESTARTED)},
        What.UNKNOWN,
        OPEN,
    ),
    Told(
        "a failover, and then a delete that the new primary recorded",
        {
            "after": after({"rows": 0, "deleted": 7}, lsn=9_999_000, timeline=2, started=WELL),
            "events": (event(1),),
        },
        What.ROWS_DELETED_IN_PLACE,
        CERTAIN,
    ),
    Told(
        "a failover, and then a delete that the new primary's counters show",
        {
            "before": replace(BEFORE, tables=(replace(STATION, deleted=9), SENSOR)),
            "after": after(
                {"rows": 0, "inserted": 0, "deleted": 7}, lsn=9_999_000, timeline=2, started=RESTARTED
            ),
            **UNRECORDED,
        },
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
    ),
    Told(
        "a crash forgets transactions that had written nothing",
        {"seen": seen(), "losses": (), "after": after(next_transaction=738, started=RESTARTED)},
        What.UNKNOWN,
        OPEN,
    ),
    Told(
        "the database was dropped and made anew, empty",
        {**another(OLD_CLUSTER, oid=17000), "losses": ALL_LOST},
        What.DATABASE_RECREATED,
        CERTAIN,
        "database oid 17000, was 16384",
    ),
    Told(
        "the database was dropped, made anew and loaded from a dump",
        {
            "seen": seen(identity=replace(HERE, database_oid=17000)),
            "losses": (),
            "after": after(identity=replace(HERE, database_oid=17000)),
        },
        What.DATABASE_RECREATED,
        CERTAIN,
        "restored from a dump",
    ),
    Told(
        "another database of the same cluster, which was there before",
        another(OLD_CLUSTER, oid=16000, deployment="d-2", environment="production"),
        What.WRONG_DATABASE,
        LIKELY,
    ),
    Told(
        "no table and no revision, at first contact",
        {
            "seen": seen(**GONE, revision=None, identity=None),
            "losses": ALL_LOST,
            "before": None,
            "after": None,
        },
        What.SCHEMA_NOT_MIGRATED,
        CERTAIN,
        "none of 2 context tables is there",
    ),
    Told(
        "tables and revision went together",
        {
            "seen": seen(**GONE, revision=None),
            "losses": ALL_LOST,
            "after": after({"oid": None}, {"oid": None}),
        },
        What.SCHEMA_NOT_MIGRATED,
        LIKELY,
        "2 were there, at revision 0003",
    ),
    Told(
        "tables and revision went together, by a DROP that was recorded",
        {
            "seen": seen(**GONE, revision=None),
            "losses": ALL_LOST,
            "after": after({"oid": None}, {"oid": None}),
            "events": tuple(
                event(id, None, operation=Operation.DROP, table=table, transaction=741)
                for id, table in ((1, "station"), (2, "sensor"))
            ),
        },
        What.TABLE_DROPPED,
        CERTAIN,
        "DROP took station, DROP took sensor",
    ),
    Told(
        "the tables are gone and the revision is not",
        {"seen": seen(**GONE), "losses": ALL_LOST, "after": after({"oid": None}, {"oid": None})},
        What.TABLE_DROPPED,
        LIKELY,
        "renamed or moved",
    ),
    Told(
        "one table is gone",
        {"seen": seen(station=None), "losses": (loss(None),), "after": after({"oid": None, "rows": None})},
        What.TABLE_DROPPED,
        LIKELY,
        "station: 7 rows at 12:09:58, gone now",
    ),
    Told(
        "a table is missing that nobody ever saw",
        {"seen": seen(station=None), "losses": (loss(None),), "before": None},
        What.TABLE_DROPPED,
        OPEN,
        "whether it was ever there",
    ),
    Told(
        "a table was dropped and made anew",
        {"after": after({"oid": 20000, "filenode": 20000, "rows": 0, "inserted": 0})},
        What.TABLE_DROPPED,
        CERTAIN,
        "its oid is 20000, was 16402",
    ),
    Told(
        "the sidecar may not read a table",
        {"seen": seen(station=TableSeen("station", unseen=Unseen.FORBIDDEN)), "losses": ()},
        What.PERMISSION_REVOKED,
        CERTAIN,
        "station: the sidecar's role may not SELECT (42501)",
    ),
    Told(
        "the sidecar may not connect",
        refused("42501"),
        What.PERMISSION_REVOKED,
        CERTAIN,
        "42501",
    ),
    Told(
        "the application may not read a table, and every row is there",
        {"seen": seen(), "losses": (), "after": after({"application_reads": False})},
        What.PERMISSION_REVOKED,
        CERTAIN,
        "the application's role may not SELECT",
    ),
    Told(
        "row security hides rows from the sidecar",
        {"seen": seen(station=TableSeen("station", unseen=Unseen.ROW_SECURITY)), "losses": ()},
        What.ROWS_HIDDEN,
        CERTAIN,
    ),
    Told(
        "row security was switched on, and the sidecar sees every row",
        {"seen": seen(), "losses": (), "after": after({"secured": True})},
        What.ROWS_HIDDEN,
        LIKELY,
        "row security is on",
    ),
    Told(
        "rows that can be seen to be gone are not hidden",
        {"after": after({"rows": 0, "secured": True, "deleted": 7}), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
    ),
    Told(
        "a delete was recorded",
        {"events": (event(1),)},
        What.ROWS_DELETED_IN_PLACE,
        CERTAIN,
        "recorded 12:10:00.124: DELETE on station took 7 rows; role alpimonitor_owner, "
        "application ops-shell, from 10.0.0.7, pid 4242, transaction 741",
    ),
    Told(
        "nothing was recorded, and as many deletes were counted as rows are missing",
        {"after": after({"rows": 0, "deleted": 7}), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "station: 7 rows at 12:09:58, 0 now; n_tup_del grew by 7",
    ),
    Told(
        "VACUUM FULL after a delete changes the file, too",
        {"after": after({"rows": 0, "deleted": 7, "filenode": 20001}), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "its filenode is 20001, was 16402",
    ),
    Told(
        "the statistics were reset: what was counted since then counts",
        {
            "before": replace(BEFORE, tables=(replace(STATION, deleted=30, inserted=37), SENSOR)),
            "after": after({"rows": 0, "inserted": 0, "deleted": 7}),
            **UNRECORDED,
        },
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "n_tup_del is 7 since it was reset",
    ),
    Told(
        "the counters lag: the same file can only have been emptied by a delete",
        {"after": after({"rows": 0}), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "its filenode is the same",
    ),
    Told(
        "the same file after a crash, which forgets counters and empties unlogged tables",
        {"after": after({"rows": 0, "inserted": 0, "deleted": 0}, started=RESTARTED), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        OPEN,
        "before the server was restarted",
    ),
    Told(
        "a TRUNCATE was recorded",
        {"events": (event(1, operation=Operation.TRUNCATE),)},
        What.TABLE_TRUNCATED,
        CERTAIN,
        "TRUNCATE on station took 7 rows",
    ),
    Told(
        "another file, and hardly any delete",
        {"after": after({"rows": 0, "deleted": 1, "filenode": 20001}), **UNRECORDED},
        What.TABLE_TRUNCATED,
        LIKELY,
        "its filenode is 20001, was 16402",
    ),
    Told(
        "rows that were deleted and inserted again do not make a TRUNCATE a delete",
        {"after": after({"rows": 0, "deleted": 7, "inserted": 14, "filenode": 20001}), **UNRECORDED},
        What.TABLE_TRUNCATED,
        LIKELY,
    ),
    Told(
        "a TRUNCATE past the recorder, after a recorded delete whose rows were put back",
        {
            "after": after({"rows": 0, "deleted": 7, "inserted": 14, "filenode": 20001}),
            "events": (event(1),),
            "recorder": replace(ARMED, arming="a2"),
        },
        What.TABLE_TRUNCATED,
        LIKELY,
        "also recorded: DELETE on station, 7 rows",
    ),
    Told(
        "nothing was ever inserted",
        {"before": None, "after": after({"rows": 0, "inserted": 0}), **UNRECORDED},
        What.NEVER_SEEDED,
        LIKELY,
        "never saw rows in it",
    ),
    Told(
        "never seen with rows, and the counters know of deletes",
        {"before": None, "after": after({"rows": 0, "inserted": 7, "deleted": 7}), **UNRECORDED},
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "n_tup_del is 7, n_tup_ins 7",
    ),
    Told(
        "never seen with rows: inserted, not deleted, and its file is not its first",
        {"before": None, "after": after({"rows": 0, "inserted": 7, "filenode": 20001}), **UNRECORDED},
        What.TABLE_TRUNCATED,
        OPEN,
    ),
    Told(
        "rows are missing, and no fingerprint was taken since",
        {"after": BEFORE, **UNRECORDED},
        What.UNKNOWN,
        OPEN,
        "no fingerprint was taken since",
    ),
    Told(
        "a fingerprint that still saw the rows says nothing of how they went",
        {"after": after(), **UNRECORDED},
        What.UNKNOWN,
        OPEN,
    ),
    Told(
        "deleted in one table and truncated in another: the first of the verdicts, and which is which",
        {
            "seen": seen(0, 0),
            "losses": (loss(0, "sensor"), loss()),
            "after": after({"rows": 0, "deleted": 7}, {"rows": 0, "filenode": 20001}),
            **UNRECORDED,
        },
        What.ROWS_DELETED_IN_PLACE,
        LIKELY,
        "its filenode is 20001, was 16410 (table truncated)",
    ),
    Told(
        "one table dropped, another one emptied",
        {
            "seen": seen(0, None),
            "losses": (loss(), loss(None, "sensor")),
            "after": after({"rows": 0, "deleted": 7}, {"oid": None}),
            **UNRECORDED,
        },
        What.TABLE_DROPPED,
        LIKELY,
        "n_tup_del grew by 7; its filenode is the same (rows deleted in place)",
    ),
    Told(
        "VACUUM FULL of a table whose rows are all there is no event",
        {"seen": seen(), "losses": (), "after": after({"filenode": 20001})},
        What.UNKNOWN,
        OPEN,
    ),
    Told(
        "a delete that was rolled back is no event",
        {"seen": seen(), "losses": (), "after": after({"deleted": 7})},
        What.UNKNOWN,
        OPEN,
    ),
]


@pytest.mark.parametrize("told", TABLE, ids=[told.sentence for told in TABLE])
def test_the_verdict_when(told: Told) -> None:
    verdict = conclude(case(**told.fields))
    said = "\n".join((*verdict.evidence, *verdict.not_observable))
    assert (verdict.what, verdict.confidence) == (told.what, told.confidence), said
    assert told.quoted in said


def test_each_verdict_has_a_case() -> None:
    assert {told.what for told in TABLE} == set(What)


@pytest.mark.parametrize(
    ("fields", "circumstances"),
    [
        pytest.param(
            UNRECORDED | {"after": after({"rows": 0}, timeline=2)},
            {Circumstance.TIMELINE_CHANGED},
            id="failover",
        ),
        pytest.param(
            UNRECORDED | {"after": after({"rows": 0}, started=RESTARTED)},
            {Circumstance.RESTARTED},
            id="restart",
        ),
        pytest.param(
            UNRECORDED | {"after": after({"rows": 0, "inserted": 0})},
            {Circumstance.STATISTICS_RESET},
            id="a lower counter",
        ),
        pytest.param(
            UNRECORDED
            | {
                "before": replace(BEFORE, statistics_reset=BOOT),
                "after": after({"rows": 0}, statistics_reset=DONE),
            },
            {Circumstance.STATISTICS_RESET},
            id="a later reset",
        ),
        pytest.param(
            {"recorder": replace(ARMED, arming="a2")}, {Circumstance.RECORDER_DISARMED}, id="armed anew"
        ),
        pytest.param({"recorder": NO_RECORDER}, {Circumstance.RECORDER_DISARMED}, id="removed"),
        pytest.param(
            {"events": (event(1, None, operation=Operation.DISARM),)},
            {Circumstance.RECORDER_DISARMED},
            id="recorded",
        ),
        pytest.param(UNRECORDED, set(), id="no recorder, now or before"),
        pytest.param({"events": (event(1, reason="closed"),)}, {Circumstance.INTENDED}, id="a reason"),
        pytest.param({"events": (event(1, reason=" "),)}, set(), id="a reason of nothing"),
        pytest.param(
            {"events": (event(1, 5, reason="closed"), event(2, 2))},
            {Circumstance.PARTLY_INTENDED},
            id="a reason for some of it",
        ),
        pytest.param(another(NEW_CLUSTER), set(), id="of another database nothing is compared"),
    ],
)
def test_circumstances(fields: dict[str, Any], circumstances: set[Circumstance]) -> None:
    assert set(conclude(case(**fields)).circumstances) == circumstances


def test_of_very_many_things_not_observable_the_first_are_said_and_how_many_more() -> None:
    names = [f"table_{number}" for number in range(100)]
    verdict = conclude(
        case(
            expected=replace(EXPECTED, tables=tuple(TableExpected(name, True, 1, 1) for name in names)),
            seen=seen(tables=tuple(TableSeen(name, unseen=Unseen.LOCKED) for name in names)),
            losses=(),
        )
    )
    assert len(verdict.not_observable) == 41
    assert verdict.not_observable[-1] == "and 60 more"


BACKUP: dict[str, Any] = {
    "after": after({"rows": 4, "inserted": 0}, started=RESTARTED),
    "losses": (loss(4),),
    "seen": seen(4),
}
"""An older backup whose log has outgrown the old: restarted, its counters forgotten, its file the same."""


def test_rows_that_nothing_took_while_the_recorder_was_armed_were_not_deleted_in_place() -> None:
    verdict = conclude(case(**BACKUP))
    assert (verdict.what, verdict.confidence) == (What.UNKNOWN, OPEN)
    assert Circumstance.UNEXPLAINED in verdict.circumstances
    assert "An older backup whose log has since outgrown" in "\n".join(verdict.not_observable)


def test_one_table_that_nothing_explains_marks_the_verdict_of_all() -> None:
    verdict = conclude(
        case(
            events=(event(1),),
            losses=(loss(), loss(3, "sensor")),
            seen=seen(0, 3),
            after=after({"rows": 0}, {"rows": 3}),
        )
    )
    assert (verdict.what, verdict.confidence) == (What.ROWS_DELETED_IN_PLACE, CERTAIN)
    assert verdict.circumstances == (Circumstance.UNEXPLAINED,)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(UNRECORDED, id="no recorder"),
        pytest.param({"recorder": None}, id="the recorder could not be asked"),
        pytest.param({"recorder": replace(ARMED, readable=False)}, id="its events are not to be read"),
        pytest.param({"recorder": replace(ARMED, unarmed=("station",))}, id="not armed on it"),
        pytest.param({"recorder": replace(ARMED, arming="a2")}, id="disarmed meanwhile"),
        pytest.param({"arming_before": ""}, id="armed since"),
        pytest.param({"arming_before": None}, id="not known whether it was armed"),
        pytest.param({"events": (event(1, 3),)}, id="recorded"),
        pytest.param({"events": (event(1, 1),)}, id="recorded in part"),
        pytest.param({"after": after({"rows": 4, "deleted": 3})}, id="counted"),
        pytest.param({"after": after({"rows": 4, "filenode": 20001})}, id="another file"),
        pytest.param({"after": after({"rows": 4, "oid": 20000})}, id="another table"),
        pytest.param({"after": None}, id="not looked at since"),
    ],
)
def test_a_loss_is_not_unexplained_when(fields: dict[str, Any]) -> None:
    assert Circumstance.UNEXPLAINED not in conclude(case(**(BACKUP | fields))).circumstances


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"recorder": None}, "could not be asked", id="recorder not seen"),
        pytest.param(UNRECORDED, "no flight recorder is installed", id="no recorder"),
        pytest.param(
            {"recorder": replace(ARMED, readable=False)}, "not for the sidecar's role", id="no right"
        ),
        pytest.param(
            {"recorder": replace(ARMED, unarmed=("station",))}, "not armed on station", id="not armed on it"
        ),
        pytest.param(
            {"recorder": replace(ARMED, arming="a2")}, "while the recorder was disarmed", id="disarmed"
        ),
        pytest.param({"arming_before": ""}, "before the recorder was armed", id="armed since"),
        pytest.param({}, "holds nothing of it", id="armed, and silent"),
        pytest.param(
            {"losses": (loss(None),), "recorder": replace(ARMED, drops=False)},
            "no event triggers",
            id="drops are not recorded",
        ),
        pytest.param({"before": None}, "no fingerprint was taken while all was well", id="nothing before"),
        pytest.param({"events": (event(1, client_addr=None),)}, "local socket", id="socket"),
        pytest.param({"events": (event(1, client_addr="127.0.0.1"),)}, "server's own host", id="loopback"),
        pytest.param({"events": (event(1),)}, "if it is a pooler's", id="an address may be a pooler's"),
        pytest.param({"events": (event(1),)}, "any session can set its own", id="application_name"),
        pytest.param({"events": (event(1),)}, "what a superuser changed", id="superuser"),
        pytest.param(
            {"events": (event(1, statement="DELETE FROM station WHERE id = $1"),)},
            "the values of the statement's parameters",
            id="parameters",
        ),
        pytest.param(
            {"seen": seen(0, TableSeen("sensor", unseen=Unseen.LOCKED, locked_by=99))},
            "sensor: locked by backend pid 99",
            id="a locked table",
        ),
        pytest.param(
            {"seen": seen(0, identity=replace(HERE, system=None))}, "system identifier is hidden", id="system"
        ),
    ],
)
def test_what_was_not_observable_is_said(fields: dict[str, Any], said: str) -> None:
    assert said in "\n".join(conclude(case(**fields)).not_observable)


def test_a_recorded_delete_is_likely_where_rows_came_and_went_past_the_recorder() -> None:
    verdict = conclude(
        case(
            after=after({"rows": 0, "deleted": 14, "inserted": 10}),
            events=(event(1, rows=10),),
            recorder=replace(ARMED, unarmed=("station",)),
        )
    )
    assert (verdict.what, verdict.confidence) == (What.ROWS_DELETED_IN_PLACE, Confidence.LIKELY)
    assert verdict.attribution is not None
    assert "whether the rows inserted meanwhile" in "\n".join(verdict.not_observable)


def test_evidence_begins_with_what_was_recorded() -> None:
    verdict = conclude(case(events=(event(1),), after=after({"rows": 0, "deleted": 7})))
    assert [sentence.split(" ")[0] for sentence in verdict.evidence] == ["recorded", "station:"]


def test_of_a_thousand_tables_a_dozen_are_told() -> None:
    expected = replace(case().expected, tables=())
    names = [f"t{number}" for number in range(1000)]
    verdict = conclude(case(expected=expected, losses=tuple(replace(loss(), table=name) for name in names)))
    assert len(verdict.evidence) == 13
    assert verdict.evidence[-1] == "and 988 more tables in the same way"
