"""A standby that falls behind: how soon a copy pauses, and how soon it goes on."""

import os
import subprocess
import time

from .measure import output
from .servers import SCRIPT, Postgres
from .service import NARROW, Copy, plan, say

LIMIT = 2.0
"""Seconds that the standby may be behind."""


KILL = """DO $$ BEGIN
  FOR n IN 1..5000 LOOP
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%/throttle';
    PERFORM pg_stat_clear_snapshot(), pg_sleep(0.001);
    EXIT WHEN clock_timestamp() > now() + interval '6 seconds';
  END LOOP; END $$"""


def held_back(program, work, stack, options):
    """Replay is paused three times, then the query for the lag is killed again and again."""
    primary = Postgres(os.path.join(work, "a"), stack)
    folder = os.path.join(work, "standby")
    stack.callback(lambda: subprocess.run([SCRIPT, "stop", folder], check=False))
    standby = output([SCRIPT, "standby", folder, os.path.join(work, "a")]).removeprefix("URL=")

    def at_standby(statement):
        return output(["psql", "-X", "-q", "-At", "-c", statement, standby])

    primary.sql("CREATE TABLE big AS SELECT n AS id, n % 1000 AS value FROM generate_series(1::bigint, 20000000) n",
                "ALTER TABLE big ADD PRIMARY KEY (id)", "VACUUM ANALYZE big", NARROW, "CHECKPOINT")
    while at_standby("SELECT count(*) FROM pg_class WHERE relname = 'narrow_pkey'") != "1":
        time.sleep(0.2)
    path = plan(os.path.join(work, "held.toml"), primary.url, primary.url, "big", "narrow", "batch_rows = 1000",
                f'rows_per_second = 20000\n[throttle.back_off_when]\nreplica_lag = "{LIMIT:.0f}s"')
    copy = Copy(program, path)
    time.sleep(5)

    def commits(since, until):
        """Times of the commits, in seconds after `since`."""
        moment = "extract(epoch FROM committed_at::timestamptz)"
        found = primary.sql(f"SELECT {moment} - {since} FROM tablelift.batches WHERE {moment} BETWEEN {since} AND {until} "
                            "ORDER BY 1")
        return [float(line) for line in found.splitlines()]

    results = {"paused": [], "killed": {}}
    for _ in range(3):
        held = time.time()
        at_standby("SELECT pg_wal_replay_pause()")
        time.sleep(LIMIT + 4)
        let_go = time.time()
        at_standby("SELECT pg_wal_replay_resume()")
        head = primary.sql("SELECT pg_current_wal_lsn()")
        while at_standby(f"SELECT pg_last_wal_replay_lsn() >= '{head}'") != "t":
            time.sleep(0.02)
        caught_up = time.time() - let_go
        time.sleep(5)
        late = [moment for moment in commits(held, let_go) if moment > LIMIT]
        after = commits(let_go, time.time())
        one = {"batches_after_the_limit": len(late), "last_after_the_limit_s": late[-1] - LIMIT if late else 0.0,
               "caught_up_s": caught_up, "goes_on_after_s": after[0] if after else None}
        results["paused"].append(one)
        say("  ".join(f"{key} {value}" for key, value in one.items()))
    began = time.time()
    primary.sql(KILL)
    ended = time.time()
    time.sleep(4)
    during, after = commits(began, ended), commits(ended, time.time())
    results["killed"] = {"batches_in_6_s": len(during), "last_after_s": during[-1] if during else 0.0,
                         "goes_on_after_s": after[0] if after else None}
    say(f"killed: {results['killed']}")
    copy.stop()
    return results
