"""The cases against tablelift itself: batches, throttle, start, rejects, many and wide rows."""

import shlex
import subprocess

from . import data
from .world import AtMost, Contender, Group, Ratio


def batch_sizes(world):
    contenders, lines = [], []
    for letter, name, target in [("A", "same database", world.a), ("B", "two servers", world.b)]:
        for size in (10_000, 1_000):
            command = world.copy(f"batch-{letter.lower()}{size}", world.a.url, target.url, batch=size,
                                 rows=world.rows)
            contenders.append(Contender(f"{letter}{size}", command, world.fresh(target),
                                        world.of_table(target), world.mapped, world.rows))
        lines.append(Ratio(f"{letter} {name}, batches of 1k", "batches of 10k", f"{letter}1000", f"{letter}10000",
                           0.85))
    return Group(contenders, lines)


NARROW = "CREATE TABLE {name} AS SELECT n * {gap} AS id, n % 1000 AS value FROM generate_series(1::bigint, {rows}) n"
NARROW_TARGET = "CREATE TABLE narrow (id bigint PRIMARY KEY, value bigint)"


def narrow(world, name, rows, gap, workers=2, throttle="", batch=10_000, extra=None, table=None):
    """Rows of two numbers, from a to b."""
    table = table or name
    if world.a.sql(f"SELECT to_regclass('{table}') IS NULL") == "t":
        world.a.sql(NARROW.format(name=table, gap=gap, rows=rows), f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
                    f"VACUUM ANALYZE {table}")
    command = world.copy(name, world.a.url, world.b.url, workers, batch, tables=[(table, "narrow")], columns="",
                         throttle=throttle)
    expected = data.pg_digest(world.a, f"SELECT * FROM {table}")
    fresh = world.fresh(world.b, table="narrow", make=NARROW_TARGET)
    return Contender(name, command, fresh, world.of_table(world.b, "narrow"), expected, rows, extra)


def first_commit(world):
    """Seconds from the start of the program to its first committed batch, from the ledger."""
    def seconds(run):
        first = world.b.sql("SELECT extract(epoch FROM min(committed_at::timestamptz)) FROM tablelift.batches")
        return float(first) - run.began
    return seconds


def start(world):
    gap = 100_000_000 // world.rows
    return Group([narrow(world, "sparse", world.rows, gap, extra=first_commit(world))],
                 [AtMost(f"start to first committed batch, {world.rows:,} keys over 100,000,000", "sparse", 2.0, "s")])


def throttle(world):
    """One that never binds, and one that does: its error, from the ledger's times."""
    def copy(name, throttle):
        command = world.copy(name, world.a.url, world.b.url, rows=world.rows, throttle=throttle)
        return Contender(name, command, world.fresh(world.b), world.of_table(world.b), world.mapped, world.rows)

    limit = max(world.rows // 10, 1000)

    def error(_):
        rate = world.b.sql("SELECT (sum(read_rows) - (array_agg(read_rows ORDER BY seq))[1]) / extract(epoch FROM "
                           "max(committed_at::timestamptz) - min(committed_at::timestamptz)) FROM tablelift.batches")
        return abs(float(rate) / limit - 1) * 100

    bound = narrow(world, "bound", world.rows, 3, 1, throttle=f"rows_per_second = {limit}", batch=1000, extra=error)
    return Group(
        [copy("free", ""), copy("loose", "rows_per_second = 4000000000"), bound],
        [Ratio("throttle on, not binding", "no throttle", "loose", "free", 0.99),
         AtMost(f"rate error of a throttle at {limit:,} rows/s", "bound", 2.0, "%")],
    )


def rejects(world):
    """A hundred rows that the target refuses, spread over all batches, against none."""
    numbers = [which * world.rows // 100 + world.rows // 200 + 1 for which in range(100)]
    bad = ", ".join(str(n * 3 + n % 2) for n in numbers)
    refuse = f"ALTER TABLE workflows ADD CHECK (id NOT IN ({bad}))"
    rest = data.pg_digest(world.a, data.mapped(where=f"WHERE id NOT IN ({bad})"))
    contenders, lines = [], []
    for letter, target in [("A", world.a), ("B", world.b)]:
        digest = world.of_table(target)

        def both(digest=digest, target=target):
            count = ("SELECT concat_ws('|', count(*), count(column_name), count(DISTINCT row_key)) "
                     "FROM tablelift.rejects")
            return f"{digest()} rejects {target.sql(count)}"

        for workers in (1, 2):
            command = world.copy(f"bad-{letter.lower()}{workers}", world.a.url, target.url, workers,
                                 options="max_rejects = 1000\n")
            name = f"{letter}{workers}"
            contenders += [
                Contender(name + " clean", command, world.fresh(target), digest, world.mapped, world.rows),
                Contender(name + " bad", command, world.fresh(target, refuse), both, f"{rest} rejects 100|100|100",
                          world.rows),
            ]
            lines.append(Ratio(f"{letter} 100 bad rows, {workers} worker{'s'[:workers - 1]}", "none", name + " bad",
                               name + " clean", 0.67))
    return Group(contenders, lines)


FOUND = ("SELECT concat_ws('|', p ->> 'compared', p ->> 'missing', p ->> 'extra', p ->> 'different') "
         "FROM (SELECT found::jsonb -> 'proof' AS p FROM tablelift.verified WHERE chunk = -1) q")


def verification(world):
    """Every row's content after the copy, equal and with three differences, against the copy itself."""
    contenders, lines = [], []
    for letter, name, target in [("A", "inside one database", world.a), ("B", "across two servers", world.b)]:
        for workers in (1, 2):
            copy = world.copy(f"verify-{letter.lower()}{workers}", world.a.url, target.url, workers, rows=world.rows)
            verify = [copy[0], "verify", copy[2], "--json"]
            three = ["bash", "-c", shlex.join(verify) + "; [ $? = 3 ]"]
            empty = world.fresh(target)
            middle = world.rows // 2 * 3

            def copied(empty=empty, copy=copy):
                empty()
                subprocess.run(copy, check=True, capture_output=True)
                world.rest()

            def changed(copied=copied, target=target, middle=middle):
                copied()
                one = f"(SELECT min(id) FROM workflows WHERE id > {middle}"
                target.sql(f"UPDATE workflows SET name = name || '.' WHERE id = {one})",
                           f"DELETE FROM workflows WHERE id = {one} + 30)",
                           "INSERT INTO workflows SELECT max(id) + 1, 'more', '{}', now() FROM workflows")
                world.rest()

            def found(target=target):
                return target.sql(FOUND)

            def contender(kind, command, fresh, digest, expected):
                contenders.append(Contender(f"{letter}{workers} {kind}", command, fresh, digest, expected, world.rows))
                return contenders[-1].name

            ours = contender("copy", copy, empty, world.of_table(target), world.mapped)
            clean = contender("verify", verify, copied, found, f"{world.rows}|0|0|0")
            some = contender("three", three, changed, found, f"{world.rows - 1}|1|1|1")
            said = f"{workers} worker{'s'[:workers - 1]}"
            lines += [Ratio(f"verify {name}, {said}", "the copy of the same rows", clean, ours, 1.0),
                      Ratio(f"verify {name}, {said}, three rows differ", "equal rows", some, clean, 0.5)]
    return Group(contenders, lines)


def many_rows(world):
    small = narrow(world, "narrow1m", 1_000_000, 3)
    large = narrow(world, "narrow50m", 50_000_000, 2, extra=first_commit(world))
    return Group([small, large],
                 [Ratio("50,000,000 narrow rows", "its rate at 1,000,000", "narrow50m", "narrow1m", 0.95),
                  AtMost("start to first committed batch, 50,000,000 rows", "narrow50m", 2.0, "s")], repeats=1)


def wide_rows(world):
    """A thousand documents of 20 MB; their copies in JSON."""
    width, count = 20_000_000, 1000
    world.a.sql(f"CREATE TABLE IF NOT EXISTS wide AS SELECT n AS id, repeat(md5(n::text), {width // 32}) AS body "
                f"FROM generate_series(1::bigint, {count}) n", "ALTER TABLE wide ADD PRIMARY KEY (id)")
    columns = '[step.columns]\nid = "id"\nname = { value = "wide" }\ndefinition = { json = ["body"] }\n'
    command = world.copy("wide", world.a.url, world.b.url, 1, tables=[("wide", "workflows")], columns=columns)
    expected = data.pg_digest(world.a, "SELECT id, md5(body) FROM wide")
    copied = "SELECT id, md5(definition ->> 'body') FROM workflows"
    ours = Contender("wide", command, world.fresh(world.b), lambda: data.pg_digest(world.b, copied), expected, count,
                     extra=lambda run: run.peak_mib)
    return Group([ours], [AtMost("peak memory, 1,000 rows of 20 MB", "wide", 32 + 4 * width / 2**20, "MiB")], repeats=1)


CASES = {"batches": batch_sizes, "throttle": throttle, "start": start, "rejects": rejects, "verify": verification}
LARGE = {"rows": many_rows, "wide": wide_rows}
