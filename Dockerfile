# One image for the API, ingestion, seed and sidecar: whatever operators need in a running container is on PATH.
#
#     docker build -t alpimonitor .
#
# The lock holds the versions; the extras `dev` and `rehearsal` stay out, so that no test tool and no PostgreSQL
# binary is in production.

ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# The dependencies first: they change less often than the code.
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --constraint requirements.lock hatchling \
    && python -m venv /opt/alpimonitor \
    && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > dependencies.txt \
    && /opt/alpimonitor/bin/pip install --constraint requirements.lock --requirement dependencies.txt

COPY api api
COPY seed seed
COPY watchdog watchdog
COPY cli cli
COPY rehearsal rehearsal
COPY migrations migrations
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/alpimonitor/bin/pip install --no-deps /wheels/*.whl \
    && /opt/alpimonitor/bin/pip check


FROM ${PYTHON_IMAGE}

# A fixed number, so that compose.yaml, a volume and `ls -n` agree on who it is.
ARG UID=10001

# A named volume takes the owner of the folder it is first mounted on. These exist before any volume does, and
# belong to the user that writes to them; else Docker makes them as root and each write fails.
RUN groupadd --gid ${UID} alpimonitor \
    && useradd --uid ${UID} --gid ${UID} --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin alpimonitor \
    && install --directory --owner=${UID} --group=${UID} --mode=0750 \
        /var/lib/alpimonitor /var/lib/alpimonitor/archive \
    && install --directory --owner=${UID} --group=${UID} --mode=0700 \
        /var/lib/alpimonitor/watchdog /var/lib/alpimonitor/tokens

COPY --from=build /opt/alpimonitor /opt/alpimonitor

ENV PATH=/opt/alpimonitor/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LINDAS_ARCHIVE_DIR=/var/lib/alpimonitor/archive \
    WATCHDOG_STATE_DIR=/var/lib/alpimonitor/watchdog

USER ${UID}:${UID}
WORKDIR /var/lib/alpimonitor

EXPOSE 8000 9877
CMD ["alpimonitor", "boot"]
