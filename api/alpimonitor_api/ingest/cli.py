"""`alpimonitor ingest`: one pass, or a process of its own that ingests on schedule."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from alpimonitor_api import logs
from alpimonitor_api.ingest import replay as replaying
from alpimonitor_api.ingest import replay_report
from alpimonitor_api.ingest.archive import ArchiveError
from alpimonitor_api.ingest.lindas import ATTRIBUTION
from alpimonitor_api.ingest.outcome import Outcome, Pass
from alpimonitor_api.ingest.schedule import IngestionSchedule, ingestion
from alpimonitor_api.ingest.source import FileSource, HttpSource
from alpimonitor_api.ingest.store import Store, StoreError, Unreachable
from alpimonitor_api.settings import Settings, SettingsError, load
from alpimonitor_api.times import EXAMPLE, parse_time

EXIT_CODES = {
    Outcome.SUCCESS: 0,
    Outcome.PARTIAL: 0,
    Outcome.ANOTHER_RUNNING: 0,
    Outcome.ANOTHER_INGESTED: 0,
    Outcome.FAILURE: 1,
    Outcome.DATABASE_UNREACHABLE: 5,
}
INCOMPLETE, USAGE, UNREACHABLE = 1, 2, 5

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False)


@app.callback()
def root() -> None:
    """Fetch live measurements from LINDAS, or read them from a file.

    Needs DATABASE_URL. LINDAS_ENDPOINT names another SPARQL endpoint, LINDAS_ARCHIVE_DIR the folder that
    keeps the raw payloads, INGESTION_SCHEDULE the minutes between passes.
    """


@app.command()
def once(
    file: Annotated[
        Path | None, typer.Option(help="Read this payload, plain or gzip, instead of asking LINDAS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as one JSON object.")] = False,
) -> None:
    """Do one pass.

    \b
    Examples:
      alpimonitor ingest once
      alpimonitor ingest once --file 2026-04-20T2120.json --json

    Exit codes: 0 done, also in part, or another ingestion is running; 1 failed; 2 usage or settings;
    5 database unreachable; 130 interrupted.
    """
    settings = settings_or_exit()
    source = HttpSource(settings.lindas_endpoint) if file is None else FileSource(file)
    done = ingestion(settings, source).run()
    typer.echo(as_json_text(done) if as_json else as_sentence(done))
    raise typer.Exit(EXIT_CODES[done.outcome])


@app.command()
def run() -> None:
    """Ingest at once and then on schedule, until SIGTERM or an interrupt.

    \b
    Example:
      INGESTION_SCHEDULE=10 alpimonitor ingest run

    Beside an API that has INGESTION_ENABLED=true, or several times over, it does no harm: together they ask
    LINDAS once an interval, and each is there to take over.

    Exit codes: 0 stopped; 2 usage or settings; 130 interrupted before it began, or while it stopped.
    """
    settings = settings_or_exit()
    ending = {signal.SIGTERM, signal.SIGINT}
    # Held back from the ingestion's thread, too, so that they come to sigwait and nowhere else.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    schedule = IngestionSchedule(settings)
    schedule.start()
    signal.sigwait(ending)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)  # a second one does not wait for the pass in progress
    schedule.stop()


def a_time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time with an offset, such as {EXAMPLE}") from None


@app.command()
def replay(
    begin: Annotated[
        datetime | None,
        typer.Option("--from", parser=a_time, metavar="TIME", help="Only payloads fetched then or later."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", parser=a_time, metavar="TIME", help="Only payloads fetched before."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--archive", metavar="DIR", help="The archive, if not that of LINDAS_ARCHIVE_DIR."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would be new and updated; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the end as one JSON object.")] = False,
) -> None:
    """Rebuild the measurements from the archive of raw payloads.

    What is stored already stays, unless a payload that was fetched later says otherwise. Ingestion goes on
    meanwhile; interrupted, it can be run again. Stations that are LIVE and active now get their history back.

    \b
    Examples:
      alpimonitor ingest replay
      alpimonitor ingest replay --from 2026-04-20T00:00:00Z --archive /srv/archive --dry-run

    Exit codes: 0 every payload is replayed; 1 files are damaged or misnamed, or it failed; 2 usage or
    settings; 5 database unreachable; 130 interrupted.
    """
    settings = settings_or_exit()
    root = root or settings.lindas_archive_dir
    if root is None:
        typer.echo("no archive is named: set LINDAS_ARCHIVE_DIR, or give --archive DIR", err=True)
        raise typer.Exit(USAGE)
    if not root.is_dir():
        typer.echo(f"{root} is not a folder: set LINDAS_ARCHIVE_DIR or --archive to the archive", err=True)
        raise typer.Exit(USAGE)
    if begin is not None and end is not None and begin >= end:
        typer.echo("--from has to be before --to", err=True)
        raise typer.Exit(USAGE)
    work = replaying.Replay(Store(settings.database_url.get_secret_value()), dry_run=dry_run)
    failure, code = None, 0
    try:
        files, work.tally.problems = replaying.archived(root, begin, end)
        with replay_report.progress(len(files)) as tell:
            work.run(files, tell=tell)
    except Unreachable as error:
        failure, code = f"database unreachable: {error}; see DATABASE_URL", UNREACHABLE
    except (ArchiveError, StoreError, replaying.NoStations) as error:
        failure, code = str(error), INCOMPLETE
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted: {work.tally.payloads} payloads are replayed; run it again for the rest", err=True
        )
        raise
    for problem in work.tally.problems:
        typer.echo(f"{problem.trouble.value}: {problem.detail}", err=True)
    report = replay_report.Report(root, begin, end, dry_run, work.tally, failure)
    typer.echo(replay_report.as_json_text(report) if as_json else replay_report.as_sentences(report))
    raise typer.Exit(code or (0 if report.holds else INCOMPLETE))


def settings_or_exit() -> Settings:
    try:
        settings = load()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    logs.configure(settings.log_level, settings.log_format)
    return settings


def as_json_text(done: Pass) -> str:
    """The outcome, and the columns of ingestion_run; those are absent while another ingestion was running."""

    def written(value: object) -> str:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)

    document = {
        "outcome": done.outcome.value,
        "reason": done.reason.value if done.reason is not None else None,
        "recorded": done.recorded,
        "attribution": ATTRIBUTION,
        **(asdict(done.run) if done.run is not None else {}),
    }
    return json.dumps(document, default=written, ensure_ascii=False)


def as_sentence(done: Pass) -> str:
    if done.run is None:
        return "another ingestion is running; nothing was done"
    run = done.run
    if done.outcome in (Outcome.FAILURE, Outcome.DATABASE_UNREACHABLE):
        return f"failed: {run.error_message}"
    skipped = f"; {run.error_message}" if run.error_message is not None else ""
    return (
        f"{done.outcome.value}: {run.stations_seen_count} LIVE stations seen, "
        f"{run.measurements_created_count} measurements new, {run.measurements_updated_count} updated"
        f"{skipped}\n{ATTRIBUTION}"
    )
