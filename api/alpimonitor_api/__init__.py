"""The hydrology API of an alpine catchment: tables, routes, ingestion."""
