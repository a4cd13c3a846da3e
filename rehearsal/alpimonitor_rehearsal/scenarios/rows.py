"""Rows that are taken while their table stays: what a heal is for, unless whoever did it meant it."""

from __future__ import annotations

from alpimonitor_rehearsal.scenarios.scenario import (
    CONTEXT,
    OPERATOR,
    REFERENCING,
    Act,
    Attribution,
    By,
    Kind,
    Scenario,
    Script,
    script,
)
from alpimonitor_rehearsal.scenarios.words import Circumstance, Heals, Symptom, Verdict

# What references the context goes first, as in the incident of 2026-04-21: every foreign key restricts.
_DELETE_EVERYTHING = Script(script(*(f"DELETE FROM {name}" for name in (*REFERENCING, *reversed(CONTEXT)))))

DELETE = Scenario(
    name="delete",
    says="deletes every row of the context, table by table, in one transaction",
    scope=CONTEXT,
    steps=(_DELETE_EVERYTHING,),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.ONCE,
)

TRUNCATE = Scenario(
    name="truncate",
    says="truncates the seven tables, and what references them",
    scope=CONTEXT,
    steps=(Script(script(f"TRUNCATE {', '.join(CONTEXT)} CASCADE")),),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.TABLE_TRUNCATED,
    attribution=Attribution(OPERATOR, "TRUNCATE"),
    heals=Heals.ONCE,
)

PARTIAL = Scenario(
    name="partial",
    says="deletes by a careless WHERE: no table is empty, the API goes on, two tables are below their floor",
    scope=("threshold", "withdrawal"),
    steps=(
        Script(
            script(
                "DELETE FROM threshold"
                " WHERE station_id IN (SELECT id FROM station WHERE data_source = 'RESEARCH')",
                "DELETE FROM withdrawal WHERE name = (SELECT min(name) FROM withdrawal)",
            )
        ),
    ),
    symptom=Symptom.CONTEXT_SHRUNK,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.ONCE,
)

REPEAT = Scenario(
    name="repeat",
    says="deletes the rows again as soon as they are back: healing for ever would hide it",
    scope=CONTEXT,
    steps=(_DELETE_EVERYTHING,),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.UNTIL_THE_CIRCUIT_OPENS,
)

PARTITION = Scenario(
    name="partition",
    # Two sidecars watch. Once the one that leads has opened its incident, nothing passes between it and the
    # database any more, until the other one has healed and resolved.
    says="deletes the rows, and cuts the sidecar off that leads",
    scope=CONTEXT,
    steps=(_DELETE_EVERYTHING,),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.BY_ANOTHER,
)

ROW_BY_ROW = Scenario(
    name="row-by-row",
    says="deletes each row by a statement and a transaction of its own",
    scope=("threshold", "withdrawal"),
    steps=(
        Script(
            "SELECT format('DELETE FROM withdrawal WHERE id = %L', id) FROM withdrawal \\gexec\n"
            "SELECT format('DELETE FROM threshold WHERE id = %L', id) FROM threshold \\gexec\n",
            together=False,
        ),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.ONCE,
)

CASCADE = Scenario(
    name="cascade",
    says="deletes one row, and foreign keys take the rows of six other tables with it",
    kind=Kind.FOREIGN,
    scope=(
        'public."Catchment"',
        'public."Station"',
        'public."Sensor"',
        'public."Threshold"',
        'public."StationGlacier"',
        'public."Withdrawal"',
        'public."_StationToTag"',
    ),
    steps=(Script(script('DELETE FROM "Catchment"')),),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, 'DELETE FROM "Catchment"'),
    heals=Heals.ONCE,
)

DO_BLOCK = Scenario(
    name="do-block",
    says="deletes within a DO block: the statement that the client sent is not the one that takes the rows",
    scope=("station_glacier", "withdrawal"),
    steps=(
        Script(script("DO $$ BEGIN DELETE FROM station_glacier; EXECUTE 'DELETE FROM withdrawal'; END $$")),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DO"),
    heals=Heals.ONCE,
)

CTE = Scenario(
    name="cte",
    says="deletes within a WITH: the statement reads like a SELECT",
    scope=("station_glacier", "withdrawal"),
    steps=(
        Script(
            script(
                "WITH links AS (DELETE FROM station_glacier RETURNING id),"
                " pumps AS (DELETE FROM withdrawal RETURNING id)"
                " SELECT count(*) FROM (TABLE links UNION ALL TABLE pumps) AS gone"
            )
        ),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "WITH"),
    heals=Heals.ONCE,
)

TRUNCATE_CASCADE = Scenario(
    name="truncate-cascade",
    says="truncates one table, and CASCADE empties every other one",
    scope=tuple(name for name in CONTEXT if name != "glacier"),
    steps=(Script(script("TRUNCATE catchment CASCADE")),),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.TABLE_TRUNCATED,
    attribution=Attribution(OPERATOR, "TRUNCATE catchment"),
    heals=Heals.ONCE,
)

DISARMED = Scenario(
    name="disarmed",
    says="switches the recorder off, deletes and switches it on again, a superuser's one transaction",
    scope=("withdrawal",),
    steps=(
        Script(
            script(
                "ALTER EVENT TRIGGER flight_recorder_ddl DISABLE",
                "ALTER TABLE withdrawal DISABLE TRIGGER flight_recorder_delete",
                "DELETE FROM withdrawal",
                "ALTER TABLE withdrawal ENABLE ALWAYS TRIGGER flight_recorder_delete",
                "ALTER EVENT TRIGGER flight_recorder_ddl ENABLE ALWAYS",
            ),
            by=By.SUPERUSER,
        ),
    ),
    symptom=Symptom.RECORDER_DISARMED,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=None,
    heals=Heals.ONCE,
    circumstances=frozenset({Circumstance.RECORDER_DISARMED}),
)

DELETE_UNRECORDED = Scenario(
    name="delete-unrecorded",
    says="deletes where no recorder is installed",
    scope=("withdrawal",),
    steps=(Script(script("DELETE FROM withdrawal")),),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=None,
    heals=Heals.ONCE,
    recorder=False,
)

TRUNCATE_UNRECORDED = Scenario(
    name="truncate-unrecorded",
    says="truncates where no recorder is installed",
    scope=("withdrawal",),
    steps=(Script(script("TRUNCATE withdrawal")),),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.TABLE_TRUNCATED,
    attribution=None,
    heals=Heals.ONCE,
    recorder=False,
)

PRUNE = Scenario(
    name="prune",
    says="prunes what a folder of diverging fixtures no longer declares, and says why",
    scope=("withdrawal",),
    steps=(Act.PRUNE,),
    symptom=Symptom.CONTEXT_SHRUNK,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution("alpimonitor-seed", "DELETE"),
    heals=Heals.NOTHING,
    circumstances=frozenset({Circumstance.INTENDED}),
)

DELETE_WITH_A_REASON = Scenario(
    name="delete-with-a-reason",
    says="deletes, and states a reason",
    scope=("withdrawal",),
    steps=(
        Script(
            script(
                "SET LOCAL watchdog.reason = 'the stations were dismantled'",
                "DELETE FROM withdrawal",
            )
        ),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.NOTHING,
    circumstances=frozenset({Circumstance.INTENDED}),
)

PLAYED = {scenario.name: scenario for scenario in (DELETE, TRUNCATE, PARTIAL, REPEAT, PARTITION)}
"""What the demo can play, by name."""

ROWS = (
    *PLAYED.values(),
    ROW_BY_ROW,
    CASCADE,
    DO_BLOCK,
    CTE,
    TRUNCATE_CASCADE,
    DISARMED,
    DELETE_UNRECORDED,
    TRUNCATE_UNRECORDED,
    PRUNE,
    DELETE_WITH_A_REASON,
)
