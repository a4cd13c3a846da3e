"""One active alert of a kind a station, so that ingestion cannot open it twice.

Revision 0004. Nothing has written alerts before this revision; should somebody have done so by hand, the
older of two is closed when the newer one was opened. The strongest lock comes first: raised step by step it
meets, in a deadlock, an ingestion that has read the alerts and now writes one.

Measurements stay in one table: with five million of them every route touches as many pages as with fifty
thousand (tests/integration/test_api_scale.py), so that partitions would only add their planning.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ONE_ACTIVE = """
LOCK TABLE alert IN ACCESS EXCLUSIVE MODE;

UPDATE alert SET closed_at = newer.opened_at
  FROM (SELECT id,
               lead(opened_at) OVER (
                   PARTITION BY station_id, type, coalesce(parameter, '') ORDER BY opened_at, id
               ) AS opened_at
          FROM alert WHERE closed_at IS NULL) AS newer
 WHERE alert.id = newer.id AND newer.opened_at IS NOT NULL;

CREATE UNIQUE INDEX uq_alert_active ON alert (station_id, type, coalesce(parameter, ''))
    WHERE closed_at IS NULL;
DROP INDEX ix_alert_active;
"""


def upgrade() -> None:
    op.execute(ONE_ACTIVE)
