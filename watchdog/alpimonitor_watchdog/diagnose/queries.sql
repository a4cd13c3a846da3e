-- Asked once, of a database of which nobody declared the tables.

-- name: guarded
-- The context tables that the flight recorder guards, dropped ones among them; of a partitioned table the root.
SELECT DISTINCT format('%I.%I', coalesce(root_schema.nspname, g.schema_name), coalesce(root.relname, g.table_name))
FROM flight_recorder.guarded AS g
LEFT JOIN pg_class AS root ON root.oid = pg_partition_root(g.relation::regclass)
LEFT JOIN pg_namespace AS root_schema ON root_schema.oid = root.relnamespace
WHERE g.kind = 'context'
ORDER BY 1;
