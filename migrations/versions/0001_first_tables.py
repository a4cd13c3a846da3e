"""The first tables: context, operations, deployment and seed_run.

Revision 0001. A revision imports nothing of ours: the declared tables change, what a revision does must not.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE catchment (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    area_km2 DOUBLE PRECISION,
    description TEXT,
    CONSTRAINT pk_catchment PRIMARY KEY (id),
    CONSTRAINT ck_catchment_name_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT ck_catchment_area_km2_finite
        CHECK (area_km2 > 0 AND area_km2 < 'Infinity'::double precision),
    CONSTRAINT ck_catchment_description_not_blank CHECK (btrim(description) <> ''),
    CONSTRAINT uq_catchment_name UNIQUE (name)
);

CREATE TABLE station (
    id UUID NOT NULL,
    catchment_id UUID NOT NULL,
    ofev_code TEXT NOT NULL,
    name TEXT NOT NULL,
    river_name TEXT NOT NULL,
    latitude DOUBLE PRECISION NOT NULL,
    longitude DOUBLE PRECISION NOT NULL,
    altitude_m INTEGER NOT NULL,
    flow_type TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    data_source TEXT NOT NULL,
    sourcing_status TEXT NOT NULL,
    is_active BOOLEAN DEFAULT true NOT NULL,
    CONSTRAINT pk_station PRIMARY KEY (id),
    CONSTRAINT ck_station_ofev_code_not_blank CHECK (btrim(ofev_code) <> ''),
    CONSTRAINT ck_station_name_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT ck_station_river_name_not_blank CHECK (btrim(river_name) <> ''),
    CONSTRAINT ck_station_latitude_range CHECK (latitude BETWEEN -90 AND 90),
    CONSTRAINT ck_station_longitude_range CHECK (longitude BETWEEN -180 AND 180),
    CONSTRAINT ck_station_altitude_m_range CHECK (altitude_m BETWEEN -500 AND 9000),
    CONSTRAINT ck_station_operator_name_not_blank CHECK (btrim(operator_name) <> ''),
    CONSTRAINT uq_station_ofev_code UNIQUE (ofev_code),
    CONSTRAINT ck_station_flow_type CHECK (flow_type IN ('NATURAL', 'RESIDUAL', 'DOTATION')),
    CONSTRAINT ck_station_data_source CHECK (data_source IN ('LIVE', 'RESEARCH', 'SEED')),
    CONSTRAINT ck_station_sourcing_status CHECK (sourcing_status IN ('CONFIRMED', 'ILLUSTRATIVE')),
    CONSTRAINT fk_station_catchment_id
        FOREIGN KEY (catchment_id) REFERENCES catchment (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX ix_station_catchment_id ON station (catchment_id);

CREATE TABLE sensor (
    id UUID NOT NULL,
    station_id UUID NOT NULL,
    parameter TEXT NOT NULL,
    unit TEXT NOT NULL,
    is_active BOOLEAN DEFAULT true NOT NULL,
    CONSTRAINT pk_sensor PRIMARY KEY (id),
    CONSTRAINT ck_sensor_unit_not_blank CHECK (btrim(unit) <> ''),
    CONSTRAINT uq_sensor_station_id_parameter UNIQUE (station_id, parameter),
    CONSTRAINT ck_sensor_parameter
        CHECK (parameter IN ('DISCHARGE', 'WATER_LEVEL', 'TEMPERATURE', 'TURBIDITY')),
    CONSTRAINT fk_sensor_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);

CREATE TABLE threshold (
    id UUID NOT NULL,
    station_id UUID NOT NULL,
    parameter TEXT NOT NULL,
    vigilance_value DOUBLE PRECISION NOT NULL,
    alert_value DOUBLE PRECISION NOT NULL,
    direction TEXT NOT NULL,
    tuned_at TIMESTAMP WITH TIME ZONE,
    tuned_by TEXT,
    CONSTRAINT pk_threshold PRIMARY KEY (id),
    CONSTRAINT ck_threshold_vigilance_value_finite
        CHECK (vigilance_value > 0 AND vigilance_value < 'Infinity'::double precision),
    CONSTRAINT ck_threshold_alert_value_finite
        CHECK (alert_value > 0 AND alert_value < 'Infinity'::double precision),
    CONSTRAINT ck_threshold_tuned_by_not_blank CHECK (btrim(tuned_by) <> ''),
    CONSTRAINT uq_threshold_station_id_parameter UNIQUE (station_id, parameter),
    CONSTRAINT ck_threshold_parameter
        CHECK (parameter IN ('DISCHARGE', 'WATER_LEVEL', 'TEMPERATURE', 'TURBIDITY')),
    CONSTRAINT ck_threshold_direction CHECK (direction IN ('ABOVE', 'BELOW')),
    CONSTRAINT ck_threshold_alert_beyond_vigilance
        CHECK (CASE direction WHEN 'ABOVE' THEN alert_value > vigilance_value
            ELSE alert_value < vigilance_value END),
    CONSTRAINT ck_threshold_tuned_together CHECK ((tuned_at IS NULL) = (tuned_by IS NULL)),
    CONSTRAINT fk_threshold_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);

CREATE TABLE glacier (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    altitude_min_m INTEGER NOT NULL,
    altitude_max_m INTEGER NOT NULL,
    CONSTRAINT pk_glacier PRIMARY KEY (id),
    CONSTRAINT ck_glacier_name_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT ck_glacier_altitude_min_m_range CHECK (altitude_min_m BETWEEN -500 AND 9000),
    CONSTRAINT ck_glacier_altitude_max_m_range CHECK (altitude_max_m BETWEEN -500 AND 9000),
    CONSTRAINT uq_glacier_name UNIQUE (name),
    CONSTRAINT ck_glacier_altitude_order CHECK (altitude_min_m < altitude_max_m)
);

CREATE TABLE station_glacier (
    id UUID NOT NULL,
    station_id UUID NOT NULL,
    glacier_id UUID NOT NULL,
    CONSTRAINT pk_station_glacier PRIMARY KEY (id),
    CONSTRAINT uq_station_glacier_station_id_glacier_id UNIQUE (station_id, glacier_id),
    CONSTRAINT fk_station_glacier_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT,
    CONSTRAINT fk_station_glacier_glacier_id
        FOREIGN KEY (glacier_id) REFERENCES glacier (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX ix_station_glacier_glacier_id ON station_glacier (glacier_id);

CREATE TABLE withdrawal (
    id UUID NOT NULL,
    station_id UUID NOT NULL,
    name TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    latitude DOUBLE PRECISION NOT NULL,
    longitude DOUBLE PRECISION NOT NULL,
    altitude_m INTEGER NOT NULL,
    annual_volume_m3 DOUBLE PRECISION,
    CONSTRAINT pk_withdrawal PRIMARY KEY (id),
    CONSTRAINT ck_withdrawal_name_not_blank CHECK (btrim(name) <> ''),
    CONSTRAINT ck_withdrawal_operator_name_not_blank CHECK (btrim(operator_name) <> ''),
    CONSTRAINT ck_withdrawal_latitude_range CHECK (latitude BETWEEN -90 AND 90),
    CONSTRAINT ck_withdrawal_longitude_range CHECK (longitude BETWEEN -180 AND 180),
    CONSTRAINT ck_withdrawal_altitude_m_range CHECK (altitude_m BETWEEN -500 AND 9000),
    CONSTRAINT ck_withdrawal_annual_volume_m3_finite
        CHECK (annual_volume_m3 > 0 AND annual_volume_m3 < 'Infinity'::double precision),
    CONSTRAINT uq_withdrawal_name UNIQUE (name),
    CONSTRAINT fk_withdrawal_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX ix_withdrawal_station_id ON withdrawal (station_id);

CREATE TABLE measurement (
    sensor_id UUID NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    payload_fetched_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_measurement PRIMARY KEY (sensor_id, recorded_at),
    CONSTRAINT ck_measurement_value_finite
        CHECK (value > '-Infinity'::double precision AND value < 'Infinity'::double precision),
    CONSTRAINT fk_measurement_sensor_id
        FOREIGN KEY (sensor_id) REFERENCES sensor (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);

CREATE TABLE alert (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    station_id UUID NOT NULL,
    type TEXT NOT NULL,
    level TEXT NOT NULL,
    parameter TEXT,
    trigger_value DOUBLE PRECISION,
    threshold_value DOUBLE PRECISION,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    metadata JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_alert PRIMARY KEY (id),
    CONSTRAINT ck_alert_trigger_value_finite
        CHECK (trigger_value > '-Infinity'::double precision
            AND trigger_value < 'Infinity'::double precision),
    CONSTRAINT ck_alert_threshold_value_finite
        CHECK (threshold_value > '-Infinity'::double precision
            AND threshold_value < 'Infinity'::double precision),
    CONSTRAINT ck_alert_type
        CHECK (type IN ('THRESHOLD_EXCEEDED', 'STATISTICAL_ANOMALY', 'STATION_OFFLINE')),
    CONSTRAINT ck_alert_level CHECK (level IN ('INFO', 'VIGILANCE', 'ALERT')),
    CONSTRAINT ck_alert_parameter
        CHECK (parameter IN ('DISCHARGE', 'WATER_LEVEL', 'TEMPERATURE', 'TURBIDITY')),
    CONSTRAINT ck_alert_closed_after_opened CHECK (closed_at >= opened_at),
    CONSTRAINT fk_alert_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX ix_alert_active ON alert (station_id) WHERE closed_at IS NULL;
CREATE INDEX ix_alert_opened_at ON alert (opened_at);
CREATE INDEX ix_alert_station_id_opened_at ON alert (station_id, opened_at);

CREATE TABLE ingestion_run (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    source TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stations_seen_count INTEGER DEFAULT 0 NOT NULL,
    measurements_created_count INTEGER DEFAULT 0 NOT NULL,
    measurements_updated_count INTEGER DEFAULT 0 NOT NULL,
    measurements_skipped_count INTEGER DEFAULT 0 NOT NULL,
    error_message TEXT,
    http_status INTEGER,
    payload_bytes BIGINT,
    payload_sha256 TEXT,
    archive_path TEXT,
    archive_error TEXT,
    duration_ms INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_ingestion_run PRIMARY KEY (id),
    CONSTRAINT ck_ingestion_run_stations_seen_count_not_negative CHECK (stations_seen_count >= 0),
    CONSTRAINT ck_ingestion_run_measurements_created_count_not_negative
        CHECK (measurements_created_count >= 0),
    CONSTRAINT ck_ingestion_run_measurements_updated_count_not_negative
        CHECK (measurements_updated_count >= 0),
    CONSTRAINT ck_ingestion_run_measurements_skipped_count_not_negative
        CHECK (measurements_skipped_count >= 0),
    CONSTRAINT ck_ingestion_run_duration_ms_not_negative CHECK (duration_ms >= 0),
    CONSTRAINT ck_ingestion_run_source CHECK (source IN ('LINDAS_HYDRO')),
    CONSTRAINT ck_ingestion_run_status CHECK (status IN ('SUCCESS', 'PARTIAL', 'FAILURE'))
);
CREATE INDEX ix_ingestion_run_started_at ON ingestion_run (started_at);

CREATE TABLE threshold_audit (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    station_id UUID NOT NULL,
    parameter TEXT NOT NULL,
    before JSONB,
    after JSONB NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    changed_by TEXT NOT NULL,
    CONSTRAINT pk_threshold_audit PRIMARY KEY (id),
    CONSTRAINT ck_threshold_audit_changed_by_not_blank CHECK (btrim(changed_by) <> ''),
    CONSTRAINT ck_threshold_audit_parameter
        CHECK (parameter IN ('DISCHARGE', 'WATER_LEVEL', 'TEMPERATURE', 'TURBIDITY')),
    CONSTRAINT fk_threshold_audit_station_id
        FOREIGN KEY (station_id) REFERENCES station (id) ON DELETE RESTRICT ON UPDATE RESTRICT
);
CREATE INDEX ix_threshold_audit_changed_at ON threshold_audit (changed_at);
CREATE INDEX ix_threshold_audit_station_id_changed_at ON threshold_audit (station_id, changed_at);

CREATE TABLE deployment (
    id UUID NOT NULL,
    environment TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_deployment PRIMARY KEY (id),
    CONSTRAINT ck_deployment_environment_shape CHECK (environment ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);
CREATE UNIQUE INDEX uq_deployment_one_row ON deployment ((true));

CREATE TABLE seed_run (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    mode TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    role TEXT NOT NULL,
    application_name TEXT NOT NULL,
    client_addr INET,
    host TEXT NOT NULL,
    database TEXT NOT NULL,
    version TEXT NOT NULL,
    inserted JSONB DEFAULT '{}'::jsonb NOT NULL,
    updated JSONB DEFAULT '{}'::jsonb NOT NULL,
    pruned JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_seed_run PRIMARY KEY (id),
    CONSTRAINT ck_seed_run_mode CHECK (mode IN ('missing', 'converge')),
    CONSTRAINT ck_seed_run_outcome
        CHECK (outcome IN ('applied', 'nothing_to_do', 'dry_run', 'refused', 'failed'))
);
CREATE INDEX ix_seed_run_at ON seed_run (at);
"""


def upgrade() -> None:
    op.execute(TABLES)
