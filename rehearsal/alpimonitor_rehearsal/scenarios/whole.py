"""What concerns a table, a database or a server as a whole: rows that a heal has no business putting back."""

from __future__ import annotations

from alpimonitor_rehearsal.roles import API, OWNER, WATCHDOG
from alpimonitor_rehearsal.scenarios.scenario import (
    CONTEXT,
    OPERATOR,
    Act,
    Attribution,
    By,
    Kind,
    Scenario,
    Script,
    script,
)
from alpimonitor_rehearsal.scenarios.words import Circumstance, Heals, Symptom, Verdict

_DROP_DATABASE = f"DROP DATABASE {Kind.ALPIMONITOR} WITH (FORCE)"
_CREATE_DATABASE = f"CREATE DATABASE {Kind.ALPIMONITOR} OWNER {OWNER}"
_RECREATE_DATABASE = Script(
    script(_DROP_DATABASE, _CREATE_DATABASE), by=By.SUPERUSER, together=False, beside=True
)

DROP_TABLE = Scenario(
    name="drop-table",
    says="drops a table",
    scope=("withdrawal",),
    steps=(Script(script("DROP TABLE withdrawal")),),
    symptom=Symptom.CONTEXT_MISSING,
    verdict=Verdict.TABLE_DROPPED,
    attribution=Attribution(OPERATOR, "DROP TABLE withdrawal"),
    heals=Heals.NOTHING,
)

DROP_AND_RECREATE = Scenario(
    name="drop-and-recreate",
    says="drops a table and makes it anew, without its rows",
    scope=("withdrawal",),
    steps=(
        Script(
            script(
                "CREATE TABLE renewed (LIKE withdrawal INCLUDING ALL)",
                "DROP TABLE withdrawal",
                "ALTER TABLE renewed RENAME TO withdrawal",
                f"GRANT SELECT ON withdrawal TO {WATCHDOG}",
            )
        ),
    ),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.TABLE_DROPPED,
    attribution=Attribution(OPERATOR, "DROP TABLE withdrawal"),
    heals=Heals.NOTHING,
)

DROP_DATABASE = Scenario(
    name="drop-database",
    says="drops the database",
    scope=CONTEXT,
    steps=(Script(script(_DROP_DATABASE), by=By.SUPERUSER, together=False, beside=True),),
    symptom=Symptom.DATABASE_UNREACHABLE,
    verdict=Verdict.DATABASE_DROPPED,
    attribution=None,
    heals=Heals.NOTHING,
)

RECREATED_EMPTY = Scenario(
    name="recreated-empty",
    says="drops the database and makes an empty one of its name",
    scope=CONTEXT,
    steps=(_RECREATE_DATABASE,),
    symptom=Symptom.IDENTITY_CHANGED,
    verdict=Verdict.DATABASE_RECREATED,
    attribution=None,
    heals=Heals.NOTHING,
)

RECREATED_FROM_A_DUMP = Scenario(
    name="recreated-from-a-dump",
    says="drops the database, makes it anew and loads a dump of it: every row is there",
    steps=(Act.DUMP, _RECREATE_DATABASE, Act.LOAD_THE_DUMP),
    symptom=Symptom.IDENTITY_CHANGED,
    verdict=Verdict.DATABASE_RECREATED,
    attribution=None,
    heals=Heals.NOTHING,
)

NEW_CLUSTER = Scenario(
    name="new-cluster",
    says="puts a new cluster in place of the old one, as after a lost volume",
    scope=CONTEXT,
    steps=(Act.START_AFRESH,),
    symptom=Symptom.IDENTITY_CHANGED,
    verdict=Verdict.CLUSTER_REINITIALISED,
    attribution=None,
    heals=Heals.NOTHING,
)

OLDER_BACKUP = Scenario(
    name="older-backup",
    says="puts a copy of the data directory back that is older than the seed",
    scope=CONTEXT,
    steps=(Act.TAKE_THE_PLACE_OF_AN_EARLIER_STATE,),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.OLDER_BACKUP_RESTORED,
    attribution=None,
    heals=Heals.NOTHING,
)

STANDBY = Scenario(
    name="standby",
    says="leads the address to a standby that has every row",
    steps=(Act.FOLLOW,),
    symptom=None,
    verdict=Verdict.BECAME_STANDBY,
    attribution=None,
    heals=Heals.NOTHING,
)

STANDBY_BEHIND = Scenario(
    name="standby-behind",
    says="leads the address to a standby that has not followed for long",
    scope=CONTEXT,
    steps=(Act.TAKE_THE_PLACE_OF_AN_EARLIER_STATE, Act.FOLLOW),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.BECAME_STANDBY,
    attribution=None,
    heals=Heals.NOTHING,
)

FAILOVER = Scenario(
    name="failover",
    says="promotes a standby that has every row",
    steps=(Act.FOLLOW, Act.PROMOTE),
    symptom=None,
    verdict=None,
    attribution=None,
    heals=Heals.NOTHING,
    circumstances=frozenset({Circumstance.TIMELINE_CHANGED}),
)

ANOTHER_ADDRESS = Scenario(
    name="another-address",
    says="leads the address to another server, with a deployment of its own",
    steps=(Act.LEAD_ELSEWHERE,),
    symptom=Symptom.IDENTITY_CHANGED,
    verdict=Verdict.WRONG_DATABASE,
    attribution=None,
    heals=Heals.NOTHING,
)

REVOKED = Scenario(
    name="revoked",
    says="takes the right to read a table from the sidecar",
    steps=(Script(script(f"REVOKE SELECT ON station FROM {WATCHDOG}")),),
    symptom=Symptom.CONTEXT_UNSEEN,
    verdict=Verdict.PERMISSION_REVOKED,
    attribution=None,
    heals=Heals.NOTHING,
)

REVOKED_FROM_THE_APPLICATION = Scenario(
    name="revoked-from-the-application",
    says="takes the right to read a table from the application: the sidecar sees every row",
    steps=(Script(script(f"REVOKE SELECT ON station FROM {API}")),),
    symptom=None,
    verdict=Verdict.PERMISSION_REVOKED,
    attribution=None,
    heals=Heals.NOTHING,
)

ROW_SECURITY = Scenario(
    name="row-security",
    says="switches row security on: the rows are there, and nobody sees them",
    steps=(
        Script(
            script(
                "ALTER TABLE station ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE station FORCE ROW LEVEL SECURITY",
            )
        ),
    ),
    symptom=Symptom.CONTEXT_UNSEEN,
    verdict=Verdict.ROWS_HIDDEN,
    attribution=None,
    heals=Heals.NOTHING,
)

WHOLE = (
    DROP_TABLE,
    DROP_AND_RECREATE,
    DROP_DATABASE,
    RECREATED_EMPTY,
    RECREATED_FROM_A_DUMP,
    NEW_CLUSTER,
    OLDER_BACKUP,
    STANDBY,
    STANDBY_BEHIND,
    FAILOVER,
    ANOTHER_ADDRESS,
    REVOKED,
    REVOKED_FROM_THE_APPLICATION,
    ROW_SECURITY,
)
