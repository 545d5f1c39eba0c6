"""A copy beside other work: rates that are kept, and what pgbench feels."""

import glob
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from .measure import Failed, output, run
from .servers import Postgres

WARM_UP = 3
"""Seconds before a rate counts."""

NARROW = "CREATE TABLE narrow (id bigint PRIMARY KEY, value bigint)"


def say(text):
    print("  " + text, file=sys.stderr)


def plan(path, source, target, copy, into, defaults, throttle, columns=""):
    """Writes a plan of one step."""
    with open(path, "w", encoding="utf-8") as out:
        out.write(f'name = "{os.path.basename(path)[:-5]}"\n[source]\nurl = "{source}"\n[target]\nurl = "{target}"\n'
                  f'[defaults]\n{defaults}\n[throttle]\n{throttle}\n[[step]]\nname = "copy"\ncopy = "{copy}"\n'
                  f'into = "{into}"\ntune = {{ analyze = false }}\n{columns}')
    return path


class Copy:
    """A run that goes on in the background, of one or more processes."""

    def __init__(self, program, path, processes=1):
        self.processes, self.error = [], open(path + ".log", "w+", encoding="utf-8")
        for which in range(processes):
            command = [program, "run", path, "-q"] + ["--join"] * (which > 0)
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.error, stderr=self.error))
            time.sleep(1.0)

    def is_going_on(self):
        return self.processes[0].poll() is None

    def stop(self):
        """Asks for a clean end, if it goes on still."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            if process.wait() not in (0, 143):
                self.error.seek(0)
                raise Failed(f"the copy ended with {process.returncode}: {self.error.read()[-2000:]}")


def rate(server, database, since, until):
    """Rows a second between the first and the last commit of a time, from the ledger."""
    moment = "extract(epoch FROM committed_at::timestamptz)"
    found = server.sql(f"SELECT (sum(read_rows) - (array_agg(read_rows ORDER BY {moment}))[1]) / "
                       f"extract(epoch FROM max(committed_at::timestamptz) - min(committed_at::timestamptz)) "
                       f"FROM tablelift.batches WHERE {moment} BETWEEN {since} AND {until}", database=database)
    return float(found)


def rates(program, work, stack, options):
    """Each limit with 1, 2 and 4 workers and with two processes; small limits at the same time."""
    a, b = Postgres(os.path.join(work, "a"), stack), Postgres(os.path.join(work, "b"), stack)
    most = 100_000 * (options.seconds + 30)
    a.sql(f"CREATE TABLE narrow AS SELECT n AS id, n % 1000 AS value FROM generate_series(1::bigint, {most}) n",
          "ALTER TABLE narrow ADD PRIMARY KEY (id)", "VACUUM ANALYZE narrow", "CHECKPOINT")
    ways = [("1 worker", 1, 1), ("2 workers", 2, 1), ("4 workers", 4, 1), ("2 processes", 1, 2)]
    rounds = [[(1_000, 100, way) for way in ways] + [(10_000, 1000, way) for way in ways]]
    rounds += [[(100_000, 10_000, way)] for way in ways]
    results = []
    for together in rounds:
        copies = []
        for limit, batch, (text, workers, processes) in together:
            database = f"r{limit}_{text.replace(' ', '_')}"
            b.sql(f"CREATE DATABASE {database}")
            b.sql(NARROW, database=database)
            path = plan(os.path.join(work, database.replace("_", "-") + ".toml"), a.url, b.at(database), "narrow", "narrow",
                        f"workers = {workers}\nbatch_rows = {batch}", f"rows_per_second = {limit}")
            copies.append((limit, text, database, Copy(program, path, processes)))
        time.sleep(WARM_UP)
        since = time.time()
        time.sleep(options.seconds)
        until = time.time()
        for *_, copy in copies:
            copy.stop()
        for limit, text, database, _ in copies:
            kept = rate(b, database, since, until)
            results.append({"limit": limit, "with": text, "kept": kept, "error_percent": (kept / limit - 1) * 100})
            say(f"{limit:>7,} rows/s, {text:<11} {kept:>11,.1f} rows/s  {(kept / limit - 1) * 100:+.2f}%")
            b.sql(f"DROP DATABASE {database} WITH (FORCE)")
    return results


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)] if ordered else 0.0


class Users:
    """pgbench at a steady rate; latencies by second, in milliseconds."""

    def __init__(self, server, work, rate=200):
        self.server, self.work, self.rate = server, work, rate

    def feel(self, seconds, while_holds=None, options=("-c", "8")):
        """What they feel for so long, or while something goes on."""
        folder = os.path.join(self.work, "pgbench")
        os.makedirs(folder)
        command = ["pgbench", "-n", *options, "-R", str(self.rate), "-T", str(seconds), "-l",
                   "--log-prefix", os.path.join(folder, "log"), self.server.at("shop")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if while_holds and not while_holds():
                process.send_signal(signal.SIGTERM)
                break
            time.sleep(0.1)
        process.wait()
        by_second = {}
        for second, took in self.logged():
            by_second.setdefault(int(second), []).append(took)
        shutil.rmtree(folder)
        # The first and the last ones are not whole.
        return {second: by_second[second] for second in sorted(by_second)[2:-1]}


    def logged(self, last=None):
        """When each transaction ended, and its milliseconds; or those of the end of the log."""
        for path in glob.glob(os.path.join(self.work, "pgbench", "log*")):
            with open(path, "rb") as lines:
                if last:
                    lines.seek(max(0, os.path.getsize(path) - last))
                    lines.readline()
                for line in lines:
                    parts = line.split()
                    # The last line may not be whole yet.
                    if len(parts) == 7 and line.endswith(b"\n"):
                        yield int(parts[4]) + int(parts[5]) / 1e6, int(parts[2]) / 1000

    def lately(self):
        """The 95th percentile of the last hundred; 0 where nobody is there."""
        lines = list(self.logged(last=10_000))[-100:]
        return percentile([took for _, took in lines], 95)


def felt(by_second, idle_p95=None):
    """What a phase says in numbers."""
    every = [ms for second in by_second.values() for ms in second]
    seconds = [percentile(second, 95) for second in by_second.values()]
    result = {"seconds": len(seconds), "p50_ms": median(every), "p95_ms": percentile(every, 95),
              "p99_ms": percentile(every, 99)}
    if idle_p95:
        result["p95_to_idle"] = result["p95_ms"] / idle_p95
        result["seconds_within_2x_percent"] = 100 * sum(one <= 2 * idle_p95 for one in seconds) / len(seconds)
    return result


class Metric(BaseHTTPRequestHandler):
    """What a shop's own monitoring would say: the 95th percentile of its last hundred transactions, in milliseconds."""

    users = None

    def do_GET(self):
        said = f"{self.users.lately():.3f}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


def monitor(users, stack):
    """Serves the metric; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Monitor", (Metric,), {"users": users}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_port}/p95"


LEGACY = """CREATE TABLE legacy AS SELECT n AS id, 'workflow ' || n AS name, 'note ' || n || repeat(' x', n::int % 20) AS note,
  (n % 1000000)::numeric / 100 AS price, n % 7 AS grp, timestamptz '2024-01-01' + n * interval '1 minute' AS created_at
  FROM generate_series(1::bigint, {rows}) n"""
COLUMNS = '[step.columns]\nid = "id"\nname = "name"\ncreated_at = "created_at"\ndefinition = { json = "*" }\n'
TARGET = "CREATE TABLE workflows (id bigint PRIMARY KEY, name text NOT NULL, definition jsonb NOT NULL, created_at timestamptz)"
# What a user of the shop does, without writing.
CANARY = "SELECT abalance FROM pgbench_accounts WHERE aid = (SELECT 1 + (random() * 900000)::int)"


def in_service(program, work, stack, options):
    """pgbench on the server on which the copy reads and writes."""
    server = Postgres(os.path.join(work, "a"), stack)
    server.sql("CREATE DATABASE shop")
    output(["pgbench", "-i", "-q", "-s", "10", server.at("shop")])
    server.sql(LEGACY.format(rows=options.rows), "ALTER TABLE legacy ADD PRIMARY KEY (id)", "VACUUM ANALYZE legacy",
               database="shop")
    users, results, url = Users(server, work), {}, server.at("shop")

    def prepared(name, defaults, throttle):
        server.sql("DROP SCHEMA IF EXISTS tablelift CASCADE", "DROP TABLE IF EXISTS workflows", TARGET, "CHECKPOINT",
                   database="shop")
        os.sync()
        return plan(os.path.join(work, name + ".toml"), url, url, "legacy", "workflows", defaults, throttle, COLUMNS)

    def phase(name, defaults, throttle, seconds, idle_p95):
        copy = Copy(program, prepared(name, defaults, throttle))
        since = time.time()
        by_second = users.feel(seconds, copy.is_going_on)
        until = time.time()
        copy.stop()
        result = felt(by_second, idle_p95)
        result["rows_per_second"] = rate(server, "shop", since, until)
        results[name] = result
        say(f"{name:<12} " + "  ".join(f"{key} {value:,.2f}" for key, value in result.items()))
        return result

    def alone(name, defaults, throttle):
        measured = run([program, "run", prepared(name, defaults, throttle), "-q"])
        results[name] = {"rows_per_second": options.rows / measured.seconds}
        say(f"{name:<12} {results[name]['rows_per_second']:,.0f} rows/s")
        return results[name]["rows_per_second"]

    users.feel(10)
    idle = felt(users.feel(options.seconds))
    results["idle"] = idle
    say("idle         " + "  ".join(f"{key} {value:,.2f}" for key, value in idle.items()))
    canary = felt_by_canary(server, work)
    limit = 2 * idle["p95_ms"]
    results["limits_ms"] = {"users": limit, "canary": 2 * canary}
    say(f"limits: users {limit:.2f} ms, canary {2 * canary:.2f} ms")
    told = f'[[throttle.signal]]\nname = "users"\nhttp = "{monitor(users, stack)}"\nlimit = {limit:.3f}\n'
    looked = f'[[throttle.signal]]\nname = "canary"\nsql = "{CANARY}"\nslower_than = "{math.ceil(2 * canary)}ms"\n'
    free = phase("unthrottled", "", "", options.seconds, idle["p95_ms"])
    fifth = f"rows_per_second = {int(free['rows_per_second'] / 5)}"
    phase("static", "", fifth, options.seconds, idle["p95_ms"])
    phase("static-small", "batch_rows = 300", fifth, options.seconds, idle["p95_ms"])
    phase("adaptive-users", "", told, options.seconds, idle["p95_ms"])
    phase("adaptive-canary", "", looked, options.seconds, idle["p95_ms"])
    results["idle_after"] = felt(users.feel(options.seconds), idle["p95_ms"])
    say(f"idle after   {results['idle_after']}")
    quick = alone("alone", "", "")
    for name, signal in [("users", told), ("canary", looked)]:
        results[f"alone_{name}_to_unthrottled"] = alone(f"alone-{name}", "", signal) / quick
    return results


def felt_by_canary(server, work):
    """The 95th percentile in milliseconds of what tablelift will measure, on the idle server."""
    script = os.path.join(work, "canary.sql")
    with open(script, "w", encoding="utf-8") as out:
        out.write(CANARY + ";\n")
    every = [ms for second in Users(server, work, 20).feel(15, options=["-f", script]).values() for ms in second]
    return percentile(every, 95)


def cost(program, work, stack, options):
    """Runs in turn on an idle server: without limits, and with all of them far away. Pairs of neighbours count."""
    a, b = Postgres(os.path.join(work, "a"), stack), Postgres(os.path.join(work, "b"), stack)
    rows = min(options.rows, 3_000_000)
    a.sql(LEGACY.format(rows=rows), "ALTER TABLE legacy ADD PRIMARY KEY (id)", "VACUUM ANALYZE legacy")
    ways = {"no limit": "", "a far limit": "rows_per_second = 4000000000",
            "signals too": 'rows_per_second = 4000000000\n[throttle.back_off_when]\nbatch_p95 = "60s"\n'
                           'connections = "99%"\nlock_waits = 1000\noldest_transaction = "1000h"'}
    taken = {name: [] for name in ways}
    for turn in range(5):
        for name in list(ways)[turn % 3:] + list(ways)[:turn % 3]:
            b.sql("DROP SCHEMA IF EXISTS tablelift CASCADE", "DROP TABLE IF EXISTS workflows", TARGET, "CHECKPOINT")
            os.sync()
            path = plan(os.path.join(work, "cost.toml"), a.url, b.url, "legacy", "workflows", "workers = 2", ways[name],
                        COLUMNS)
            taken[name].append(run([program, "run", path, "-q"]).seconds)
            say(f"{name:<12} {rows / taken[name][-1]:,.0f} rows/s")
    result = {name: median(rows / seconds for seconds in taken[name]) for name in ways}
    for name in list(ways)[1:]:
        ratios = [free / other for free, other in zip(taken["no limit"], taken[name])]
        result[f"{name}, ratio to no limit"] = median(ratios)
        say(f"{name}: {median(ratios):.3f} of the rate without ({min(ratios):.3f} to {max(ratios):.3f})")
    return result
