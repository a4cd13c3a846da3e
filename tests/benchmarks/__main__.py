"""`./dev bench [NAME] [--json FILE]`: figures, each beside its comparison of the same run."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tests.benchmarks import api, detect, load, mutants, probe, profile, recorder, replay, seed, verdicts
from tests.benchmarks.figures import Benchmark, Unmeasurable, document, table

BENCHMARKS: dict[str, Benchmark] = {
    "api": Benchmark(
        api.run,
        "every GET at 1 and 32 connections, without and with the cache, beside hello",
        verdict=api.verdict,
    ),
    "detect": Benchmark(detect.run, "DELETE committed → notification received, by polling"),
    "load": Benchmark(
        load.run,
        "the API under load while its database restarts, is emptied and healed",
        verdict=load.verdict,
    ),
    "mutants": Benchmark(
        mutants.run, "each guarantee taken away: do the tests notice?", verdict=mutants.verdict, once=True
    ),
    "probe": Benchmark(probe.run, "one look at 9 and at 1,000 tables, beside SELECT 1 and count(*)"),
    "profile": Benchmark(profile.run, "where the processor time of one answer of the API goes"),
    "recorder": Benchmark(recorder.run, "DELETE and INSERT with a flight recorder, beside without"),
    "replay": Benchmark(replay.run, "rebuilding measurement from the archive, beside COPY"),
    "seed": Benchmark(seed.run, "planning and applying fixtures, as shipped and ten thousand"),
    "verdicts": Benchmark(
        verdicts.run,
        "every scenario: what happened, who did it, was it healed?",
        verdict=verdicts.verdict,
        once=True,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description="Measure; without NAME, list what can be measured.",
        epilog="example: ./dev bench probe --json probe.json",
    )
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    parser.add_argument("--runs", type=int, metavar="N", help="how often to measure (default: by benchmark)")
    parser.add_argument(
        "--server",
        choices=verdicts.SERVERS,
        help="of verdicts: which PostgreSQL (default: each that is there)",
    )
    arguments = parser.parse_args()
    if arguments.name is None:
        for name, benchmark in sorted(BENCHMARKS.items()):
            print(f"{name:8}  {benchmark.summary}")
        return 0
    if arguments.runs is not None and arguments.runs < 2:
        parser.error("--runs: at least 2, a percentile needs several")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        parser.error(f"--json: the folder {arguments.json.parent} does not exist")
    benchmark = BENCHMARKS[arguments.name]
    if arguments.runs is not None and benchmark.once:
        parser.error(f"--runs: {arguments.name} is done once")
    if arguments.server is not None and arguments.name != "verdicts":
        parser.error(f"--server: {arguments.name} chooses by TEST_DATABASE")
    run = partial(verdicts.run, server=arguments.server) if arguments.server else benchmark.run
    try:
        rows = run(arguments.runs, lambda line: print(line, file=sys.stderr, flush=True))
    except Unmeasurable as error:
        print(error, file=sys.stderr)
        return 1
    print(table(rows))
    if arguments.json is not None:
        arguments.json.write_text(document(arguments.name, rows))
    if benchmark.verdict is None:
        return 0
    holds, sentence = benchmark.verdict(rows)
    print(sentence)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
