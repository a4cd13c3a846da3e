"""What LINDAS is asked."""

from __future__ import annotations

QUERY = """\
# Source: OFEV/BAFU — hydrodaten.admin.ch via LINDAS
PREFIX schema: <http://schema.org/>
PREFIX geo: <http://www.opengis.net/ont/geosparql#>
PREFIX cube: <https://cube.link/>
PREFIX hydro: <https://environment.ld.admin.ch/foen/hydro/dimension/>
SELECT ?code ?name ?water ?wkt ?discharge ?waterLevel ?danger ?measuredAt
FROM <https://lindas.admin.ch/foen/hydro>
WHERE {
  ?station a <http://example.com/HydroMeasuringStation> ;
           schema:identifier ?code ;
           schema:name ?name .
  ?observation a cube:Observation ;
               hydro:station ?station ;
               hydro:measurementTime ?measuredAt .
  OPTIONAL { ?observation hydro:dangerLevel ?danger }
  OPTIONAL { ?observation hydro:discharge ?discharge }
  OPTIONAL { ?observation hydro:waterLevel ?waterLevel }
  OPTIONAL { ?station schema:containedInPlace ?water }
  OPTIONAL { ?station geo:hasGeometry/geo:asWKT ?wkt }
}
ORDER BY ?code ?measuredAt
"""
