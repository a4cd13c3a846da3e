-- A stranger's database, as Prisma's migrations leave one behind: quoted CamelCase names, cuid keys, enums,
-- TIMESTAMP(3), implicit many-to-many tables, cascades, a second schema. Twenty tables. Runs on PostgreSQL 15
-- and newer; idempotent from "the context" on, so that a healer can run that part again.

CREATE SCHEMA "registry";

CREATE TYPE "StationKind" AS ENUM ('LIVE', 'RESEARCH');
CREATE TYPE "Parameter" AS ENUM ('DISCHARGE', 'LEVEL', 'TEMPERATURE');
CREATE TYPE "AlertLevel" AS ENUM ('VIGILANCE', 'ALERT');
CREATE TYPE "RunStatus" AS ENUM ('RUNNING', 'SUCCESS', 'FAILURE');

CREATE TABLE "_prisma_migrations" (
    "id" VARCHAR(36) NOT NULL PRIMARY KEY,
    "checksum" VARCHAR(64) NOT NULL,
    "finished_at" TIMESTAMPTZ,
    "migration_name" VARCHAR(255) NOT NULL,
    "logs" TEXT,
    "rolled_back_at" TIMESTAMPTZ,
    "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count" INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE "registry"."Canton" (
    "code" CHAR(2) NOT NULL,
    "name" TEXT NOT NULL,
    CONSTRAINT "Canton_pkey" PRIMARY KEY ("code")
);

CREATE TABLE "registry"."Municipality" (
    "bfsNumber" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "cantonCode" CHAR(2) NOT NULL,
    CONSTRAINT "Municipality_pkey" PRIMARY KEY ("bfsNumber"),
    CONSTRAINT "Municipality_cantonCode_fkey" FOREIGN KEY ("cantonCode")
        REFERENCES "registry"."Canton" ("code") ON DELETE RESTRICT ON UPDATE CASCADE
);

CREATE TABLE "Operator" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Operator_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "operatorId" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "User_operatorId_fkey" FOREIGN KEY ("operatorId")
        REFERENCES "Operator" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);

CREATE TABLE "Session" (
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Session_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId")
        REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "Catchment" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "areaKm2" DOUBLE PRECISION NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Catchment_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "Station" (
    "id" TEXT NOT NULL,
    "ordinal" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "kind" "StationKind" NOT NULL DEFAULT 'LIVE',
    "catchmentId" TEXT NOT NULL,
    "operatorId" TEXT,
    "municipalityBfs" INTEGER,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Station_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Station_catchmentId_fkey" FOREIGN KEY ("catchmentId")
        REFERENCES "Catchment" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "Station_operatorId_fkey" FOREIGN KEY ("operatorId")
        REFERENCES "Operator" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "Station_municipalityBfs_fkey" FOREIGN KEY ("municipalityBfs")
        REFERENCES "registry"."Municipality" ("bfsNumber") ON DELETE SET NULL ON UPDATE CASCADE
);

CREATE TABLE "Sensor" (
    "id" TEXT NOT NULL,
    "stationId" TEXT NOT NULL,
    "parameter" "Parameter" NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Sensor_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Sensor_stationId_fkey" FOREIGN KEY ("stationId")
        REFERENCES "Station" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "Sensor_stationId_parameter_key" ON "Sensor" ("stationId", "parameter");

CREATE TABLE "Threshold" (
    "id" TEXT NOT NULL,
    "sensorId" TEXT NOT NULL,
    "vigilanceValue" DOUBLE PRECISION NOT NULL,
    "alertValue" DOUBLE PRECISION NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Threshold_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Threshold_sensorId_fkey" FOREIGN KEY ("sensorId")
        REFERENCES "Sensor" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "Glacier" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Glacier_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "StationGlacier" (
    "stationId" TEXT NOT NULL,
    "glacierId" TEXT NOT NULL,
    "share" DOUBLE PRECISION NOT NULL,
    CONSTRAINT "StationGlacier_pkey" PRIMARY KEY ("stationId", "glacierId"),
    CONSTRAINT "StationGlacier_stationId_fkey" FOREIGN KEY ("stationId")
        REFERENCES "Station" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "StationGlacier_glacierId_fkey" FOREIGN KEY ("glacierId")
        REFERENCES "Glacier" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "Withdrawal" (
    "id" TEXT NOT NULL,
    "catchmentId" TEXT NOT NULL,
    "maxFlowM3s" DOUBLE PRECISION NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Withdrawal_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Withdrawal_catchmentId_fkey" FOREIGN KEY ("catchmentId")
        REFERENCES "Catchment" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "Tag" (
    "id" SERIAL NOT NULL,
    "label" TEXT NOT NULL,
    CONSTRAINT "Tag_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "_StationToTag" (
    "A" TEXT NOT NULL,
    "B" INTEGER NOT NULL,
    CONSTRAINT "_StationToTag_AB_pkey" PRIMARY KEY ("A", "B"),
    CONSTRAINT "_StationToTag_A_fkey" FOREIGN KEY ("A")
        REFERENCES "Station" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_StationToTag_B_fkey" FOREIGN KEY ("B")
        REFERENCES "Tag" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "_StationToTag_B_index" ON "_StationToTag" ("B");

CREATE TABLE "_GlacierToTag" (
    "A" TEXT NOT NULL,
    "B" INTEGER NOT NULL,
    CONSTRAINT "_GlacierToTag_AB_pkey" PRIMARY KEY ("A", "B"),
    CONSTRAINT "_GlacierToTag_A_fkey" FOREIGN KEY ("A")
        REFERENCES "Glacier" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_GlacierToTag_B_fkey" FOREIGN KEY ("B")
        REFERENCES "Tag" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX "_GlacierToTag_B_index" ON "_GlacierToTag" ("B");

CREATE TABLE "Measurement" (
    "id" TEXT NOT NULL,
    "sensorId" TEXT NOT NULL,
    "recordedAt" TIMESTAMP(3) NOT NULL,
    "value" DOUBLE PRECISION NOT NULL,
    CONSTRAINT "Measurement_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Measurement_sensorId_fkey" FOREIGN KEY ("sensorId")
        REFERENCES "Sensor" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "Measurement_sensorId_recordedAt_key" ON "Measurement" ("sensorId", "recordedAt");

CREATE TABLE "Alert" (
    "id" TEXT NOT NULL,
    "stationId" TEXT NOT NULL,
    "level" "AlertLevel" NOT NULL,
    "openedAt" TIMESTAMP(3) NOT NULL,
    "closedAt" TIMESTAMP(3),
    CONSTRAINT "Alert_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "Alert_stationId_fkey" FOREIGN KEY ("stationId")
        REFERENCES "Station" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "IngestionRun" (
    "id" TEXT NOT NULL,
    "status" "RunStatus" NOT NULL DEFAULT 'RUNNING',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "IngestionRun_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "ThresholdAudit" (
    "id" TEXT NOT NULL,
    "thresholdId" TEXT,
    "before" JSONB NOT NULL,
    "after" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "ThresholdAudit_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "ThresholdAudit_thresholdId_fkey" FOREIGN KEY ("thresholdId")
        REFERENCES "Threshold" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);

INSERT INTO "_prisma_migrations" ("id", "checksum", "finished_at", "migration_name", "rolled_back_at") VALUES
    ('0f3f3c1e-0000-4000-8000-000000000001', repeat('a', 64), now(), '20260105080000_init', NULL),
    ('0f3f3c1e-0000-4000-8000-000000000002', repeat('b', 64), now(), '20260211093000_add_registry', NULL),
    ('0f3f3c1e-0000-4000-8000-000000000003', repeat('c', 64), NULL, '20260301120000_half_way', now());

-- ---- the context -------------------------------------------------------------------------------------------

BEGIN;

INSERT INTO "registry"."Canton" VALUES ('VS', 'Valais'), ('BE', 'Bern'), ('VD', 'Vaud') ON CONFLICT DO NOTHING;

INSERT INTO "registry"."Municipality" VALUES (6252, 'Anniviers', 'VS'), (6083, 'Evolène', 'VS') ON CONFLICT DO NOTHING;

INSERT INTO "Operator" ("id", "name", "createdAt", "updatedAt") VALUES
    ('cm5oper0000000000000000a1', 'Office de l''environnement', '2026-01-05 08:00:00', '2026-01-05 08:00:00'),
    ('cm5oper0000000000000000a2', 'Institut de glaciologie', '2026-01-05 08:00:00', '2026-01-05 08:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "User" ("id", "email", "operatorId", "createdAt", "updatedAt") VALUES
    ('cm5user0000000000000000a1', 'garde@example.org', 'cm5oper0000000000000000a1', '2026-01-05 08:00:00', '2026-01-05 08:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "Catchment" ("id", "name", "areaKm2", "createdAt", "updatedAt") VALUES
    ('cm5catc0000000000000000a1', 'Navizence', 254.3, '2026-01-05 08:00:00', '2026-01-05 08:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "Station" ("id", "ordinal", "name", "kind", "catchmentId", "operatorId", "municipalityBfs", "createdAt", "updatedAt")
SELECT 'cm5stat0000000000000000a' || n, n, 'Station ' || n, (CASE WHEN n < 5 THEN 'LIVE' ELSE 'RESEARCH' END)::"StationKind",
       'cm5catc0000000000000000a1', 'cm5oper0000000000000000a' || 1 + n % 2, 6252, '2026-01-05 08:00:00', '2026-01-05 08:00:00'
FROM generate_series(1, 7) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "Sensor" ("id", "stationId", "parameter", "createdAt", "updatedAt")
SELECT 'cm5sens0000000000000000' || lower(left(p::text, 1)) || n, 'cm5stat0000000000000000a' || n, p, '2026-01-05 08:00:00', '2026-01-05 08:00:00'
FROM generate_series(1, 7) AS n, unnest(ARRAY['DISCHARGE', 'LEVEL']::"Parameter"[]) AS p
ON CONFLICT DO NOTHING;

INSERT INTO "Threshold" ("id", "sensorId", "vigilanceValue", "alertValue", "createdAt", "updatedAt")
SELECT 'cm5thre0000000000000000a' || n, 'cm5sens0000000000000000d' || n, 10 + n, 20 + n, '2026-01-05 08:00:00', '2026-01-05 08:00:00'
FROM generate_series(1, 7) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "Glacier" ("id", "name", "createdAt", "updatedAt") VALUES
    ('cm5glac0000000000000000a1', 'Glacier de Zinal', '2026-01-05 08:00:00', '2026-01-05 08:00:00'),
    ('cm5glac0000000000000000a2', 'Glacier de Moiry', '2026-01-05 08:00:00', '2026-01-05 08:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "StationGlacier" ("stationId", "glacierId", "share")
SELECT 'cm5stat0000000000000000a' || n, 'cm5glac0000000000000000a' || 1 + n % 2, n / 10.0
FROM generate_series(1, 6) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "Withdrawal" ("id", "catchmentId", "maxFlowM3s", "createdAt", "updatedAt") VALUES
    ('cm5with0000000000000000a1', 'cm5catc0000000000000000a1', 6.5, '2026-01-05 08:00:00', '2026-01-05 08:00:00'),
    ('cm5with0000000000000000a2', 'cm5catc0000000000000000a1', 2.1, '2026-01-05 08:00:00', '2026-01-05 08:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "Tag" ("id", "label") VALUES (1, 'glacial'), (2, 'regulated'), (3, 'alpine') ON CONFLICT DO NOTHING;

INSERT INTO "_StationToTag" SELECT 'cm5stat0000000000000000a' || n, 1 + n % 3 FROM generate_series(1, 7) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "_GlacierToTag" VALUES ('cm5glac0000000000000000a1', 1), ('cm5glac0000000000000000a2', 1)
ON CONFLICT DO NOTHING;

COMMIT;

-- ---- what comes and goes -----------------------------------------------------------------------------------

INSERT INTO "Session" ("id", "userId", "expiresAt") VALUES
    ('cm5sess0000000000000000a1', 'cm5user0000000000000000a1', '2026-05-01 00:00:00')
ON CONFLICT DO NOTHING;

INSERT INTO "Measurement" ("id", "sensorId", "recordedAt", "value")
SELECT 'cm5meas' || lpad(n::text, 18, '0'), 'cm5sens0000000000000000d' || 1 + n % 7,
       TIMESTAMP '2026-04-20 00:00:00' + n * INTERVAL '10 minutes', 5 + n % 13
FROM generate_series(1, 500) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "Alert" ("id", "stationId", "level", "openedAt") VALUES
    ('cm5aler0000000000000000a1', 'cm5stat0000000000000000a1', 'VIGILANCE', '2026-04-20 21:20:00')
ON CONFLICT DO NOTHING;

INSERT INTO "IngestionRun" ("id", "status")
SELECT 'cm5runs' || lpad(n::text, 18, '0'), 'SUCCESS' FROM generate_series(1, 20) AS n
ON CONFLICT DO NOTHING;

INSERT INTO "ThresholdAudit" ("id", "thresholdId", "before", "after") VALUES
    ('cm5audi0000000000000000a1', 'cm5thre0000000000000000a1', '{"alertValue": 20}', '{"alertValue": 21}')
ON CONFLICT DO NOTHING;
