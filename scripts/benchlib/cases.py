"""The cases against other tools: which ways to copy are run in turn, and what is said of them."""

import importlib.util
import os
import shlex
import shutil
import sys

from . import data
from .world import Contender, Group, Ratio

NAIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "naive.py")


class Missing(Exception):
    """The case can't run here; why."""


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Missing(f"{program} is not installed")


def shell(script):
    return ["bash", "-c", "set -o pipefail; " + script]


def psql(server, statement, database="postgres"):
    return shlex.join(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, server.at(database)])


def pipe(world, where=""):
    """One stream from a to b, mapped by the source."""
    read = psql(world.a, f"COPY ({data.mapped(where=where)}) TO STDOUT (FORMAT binary)")
    return f"{read} | {psql(world.b, 'COPY workflows FROM STDIN (FORMAT binary)')}"


def same_database(world):
    def contender(name, command, ours=True):
        return Contender(name, command, world.fresh(world.a), world.of_table(world.a), world.mapped,
                         world.rows, ours=ours)

    def copy(workers):
        return world.copy(f"a{workers}", world.a.url, world.a.url, workers, rows=world.rows)

    insert = shlex.split(psql(world.a, f"INSERT INTO workflows {data.MAPPED}"))
    return Group(
        [contender("insert", insert, ours=False), contender("one", copy(1)), contender("two", copy(2))],
        [Ratio("A same database, 1 worker", "one INSERT … SELECT", "one", "insert", 1.0),
         Ratio("A same database, 2 workers", "one INSERT … SELECT", "two", "insert", 1.6)],
    )


def two_servers(world):
    def contender(name, command, ours=True):
        return Contender(name, command, world.fresh(world.b), world.of_table(world.b), world.mapped,
                         world.rows, ours=ours)

    def copy(workers):
        return world.copy(f"b{workers}", world.a.url, world.b.url, workers, rows=world.rows)

    middle = world.rows // 2 * 3
    halves = f"({pipe(world, f'WHERE id <= {middle}')}) & {pipe(world, f'WHERE id > {middle}')} && wait $!"
    return Group(
        [contender("pipe", shell(pipe(world)), ours=False), contender("one", copy(1)),
         contender("two", copy(2)), contender("pipes", shell(halves), ours=False)],
        [Ratio("B two servers, 1 worker", "one psql binary pipe", "one", "pipe", 1.1),
         Ratio("B two servers, 2 workers", "one psql binary pipe", "two", "pipe", 1.4),
         Ratio("B two servers, 2 workers", "two psql pipes, two key ranges", "two", "pipes", 1.1)],
    )


def plain_columns(world):
    """In two tables, because this is where pgcopydb's two jobs find work."""
    need("pgcopydb")
    halves = {"lower": f"<= {world.rows // 2 * 3}", "upper": f"> {world.rows // 2 * 3}"}
    for server in (world.a, world.b):
        server.sql("DROP DATABASE IF EXISTS plain", "CREATE DATABASE plain")
    for name, condition in halves.items():
        source = psql(world.a, f"COPY (SELECT * FROM dh_workflow WHERE id {condition}) TO STDOUT")
        make = data.like_legacy(world.a, name)
        for server in (world.a, world.b):
            server.sql(make, database="plain")
        data.output(shell(f"{source} | {psql(world.a, f'COPY {name} FROM STDIN', 'plain')}"))
        world.a.sql(f"VACUUM ANALYZE {name}", database="plain")
    work = world.path("pgcopydb")

    def fresh():
        shutil.rmtree(work, ignore_errors=True)
        world.b.sql("DROP SCHEMA IF EXISTS tablelift CASCADE", "TRUNCATE lower, upper", database="plain")
        world.rest()

    both = "SELECT * FROM lower UNION ALL SELECT * FROM upper"
    expected = data.pg_digest(world.a, both, "plain")

    def contender(name, command, ours=True):
        return Contender(name, command, fresh, lambda: data.pg_digest(world.b, both, "plain"), expected,
                         world.rows, ours=ours)

    copy = world.copy("plain", world.a.at("plain"), world.b.at("plain"), 2,
                      tables=[(name, name) for name in halves], columns="")
    peer = ["pgcopydb", "copy", "table-data", "--source", world.a.at("plain"), "--target",
            world.b.at("plain"), "--table-jobs", "2", "--dir", work, "--not-consistent"]
    return Group([contender("pgcopydb", peer, ours=False), contender("two", copy)],
                 [Ratio("B′ plain columns, 2 workers", "pgcopydb, 2 jobs", "two", "pgcopydb", 1.25)])


def from_sqlite(world):
    def contender(name, command, ours=True):
        return Contender(name, command, world.fresh(world.b), world.of_table(world.b), world.from_lite,
                         world.rows, ours=ours)

    def copy(workers):
        return world.copy(f"c{workers}", "sqlite:" + world.lite, world.b.url, workers, rows=world.rows)

    ready = shell(f"{psql(world.b, 'COPY workflows FROM STDIN')} < {shlex.quote(world.ready)}")
    return Group(
        [contender("ready", ready, ours=False), contender("one", copy(1)), contender("two", copy(2))],
        [Ratio("C SQLite to PostgreSQL, 1 worker", "COPY of a ready file", "one", "ready", 0.95),
         Ratio("C SQLite to PostgreSQL, 2 workers", "COPY of a ready file", "two", "ready", 1.3)],
    )


# pgloader's defaults run out of memory on such rows; more than this makes it no faster.
PGLOADER = """LOAD DATABASE FROM {source} INTO {target}
WITH data only, create no tables, create no indexes, no foreign keys, reset no sequences,
  workers = 2, concurrency = 1, prefetch rows = 10000, batch rows = 10000, batch size = 8MB
{more};
"""


def pgloader(world, name, source, target, more="INCLUDING ONLY TABLE NAMES LIKE 'dh_workflow'"):
    need("pgloader")
    path = world.path(name)
    with open(path, "w", encoding="utf-8") as load:
        load.write(PGLOADER.format(source=source, target=target.replace("postgres://", "postgresql://"), more=more))
    return ["pgloader", "--root-dir", world.path("pgloader"), path]


def plain_contender(world, name, command, query, ours=True):
    """The legacy table's own columns; on b, the table has its name, as pgloader wants it."""
    fresh = world.fresh(world.b, table="dh_workflow", make=data.PLAIN_TARGET)
    return Contender(name, command, fresh, world.of_table(world.b, "dh_workflow"),
                     data.pg_digest(world.a, query), world.rows, ours=ours)


def plain_from_sqlite(world):
    peer = pgloader(world, "lite.load", "sqlite://" + world.lite, world.b.url)
    copy = world.copy("cp", "sqlite:" + world.lite, world.b.url, 2, tables=[("dh_workflow", "dh_workflow")],
                      columns="", rows=world.rows)
    return Group([plain_contender(world, "pgloader", peer, data.PLAIN_FROM_LITE, ours=False),
                  plain_contender(world, "two", copy, data.PLAIN_FROM_LITE)],
                 [Ratio("C SQLite to PostgreSQL, plain columns, 2 workers", "pgloader", "two", "pgloader", 2.4)])


# MariaDB's BOOLEAN is TINYINT(1).
BOOLEANS = 'values = { tinyint1 = "boolean" }\n'


def from_mariadb(world):
    need("mariadbd", "mariadb", "mariadb-install-db")
    command = world.copy("d", world.maria.url, world.b.url, 2, rows=world.rows, options=BOOLEANS)
    ours = Contender("two", command, world.fresh(world.b), world.of_table(world.b), world.mapped, world.rows)
    return Group([mariadb_pipe(world), ours],
                 [Ratio("D MariaDB to PostgreSQL, 2 workers", "mariadb to psql pipe", "two", "pipe", 1.2)])


def mariadb_pipe(world):
    """One stream, mapped by the source. Its text is COPY's, but for what NULL is."""
    read = shlex.join([*world.maria.client, "--quick", "--batch", "-N", "bench", "-e", data.MARIA_MAPPED])
    write = psql(world.b, "COPY workflows FROM STDIN (NULL 'NULL')")
    return Contender("pipe", shell(f"{read} | {write}"), world.fresh(world.b), world.of_table(world.b),
                     world.mapped, world.rows, ours=False)


def plain_from_mariadb(world):
    need("mariadbd", "mariadb", "mariadb-install-db")
    command = world.copy("dp", world.maria.url, world.b.url, 2, tables=[("dh_workflow", "dh_workflow")],
                         columns="", rows=world.rows, options=BOOLEANS)
    ours = plain_contender(world, "two", command, data.PLAIN_FROM_MARIA)
    return Group([mariadb_pgloader(world), ours],
                 [Ratio("D MariaDB to PostgreSQL, plain columns, 2 workers", "pgloader", "two", "pgloader", 2.4)])


def mariadb_pgloader(world):
    command = pgloader(world, "maria.load", world.maria.url, world.b.url, "ALTER SCHEMA 'bench' RENAME TO 'public'")
    return plain_contender(world, "pgloader", command, data.PLAIN_FROM_MARIA, ours=False)


def lite_contender(world, name, command, limit=None, ours=True):
    reference = data.lite_digest(world.lite_reference, -1 if limit is None else limit)
    return Contender(name, command, world.fresh_lite, lambda: data.lite_digest(world.lite_target), reference,
                     limit or world.rows, ours=ours)


def lite_copy(world, name="e"):
    return world.copy(name, "sqlite:" + world.lite, "sqlite:" + world.lite_target, rows=world.rows)


def sqlite_to_sqlite(world):
    need("sqlite3")
    peer = lite_contender(world, "shell", world.lite_shell(world.lite_target), ours=False)
    return Group([peer, lite_contender(world, "ours", lite_copy(world))],
                 [Ratio("E SQLite to SQLite", "sqlite3 shell, WAL, synchronous = full", "ours", "shell", 1.2)])


def naive_scripts(world):
    """Rates of fewer rows: a script that commits every hundred rows needs its time."""
    few, some = world.rows // 10, world.rows // 2
    if importlib.util.find_spec("psycopg"):
        ours = Contender("ours", world.copy("script", world.a.url, world.b.url, rows=world.rows),
                         world.fresh(world.b), world.of_table(world.b), world.mapped, world.rows)
        how, ends = "psycopg", [world.a.url, world.b.url]

        def script(name, limit):
            first = f"({data.FROM_LITE} ORDER BY id LIMIT {limit})"
            return Contender(name, [sys.executable, NAIVE, name, str(limit), *ends], world.fresh(world.b),
                             world.of_table(world.b), data.pg_digest(world.a, first), limit, ours=False)
    else:
        ours = lite_contender(world, "ours", lite_copy(world, "script"))
        how, ends = "sqlite3 module", [world.lite, world.lite_target]

        def script(name, limit):
            command = [sys.executable, NAIVE, name, str(limit), *ends]
            return lite_contender(world, name, command, limit, ours=False)
    return Group(
        [script("row", few), script("thousand", some), ours],
        [Ratio("Python script", f"{how}: row by row, commit per 100", "ours", "row", 10),
         Ratio("Python script", f"{how}: INSERT by 1000", "ours", "thousand", 4)],
    )


CASES = {
    "A": same_database, "B": two_servers, "Bplain": plain_columns, "C": from_sqlite, "Cplain": plain_from_sqlite,
    "D": from_mariadb, "Dplain": plain_from_mariadb, "E": sqlite_to_sqlite, "script": naive_scripts,
}
