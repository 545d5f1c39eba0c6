"""What all cases share: servers, data made when first asked for, plans, fresh targets."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Optional

from . import data
from .servers import MariaDb, Postgres

MAPPING = """[step.columns]
id = "id"
name = "name"
created_at = "created_at"
definition = { json = "*" }
"""


@dataclass
class Contender:
    """One way to do the copy. Its time counts once `digest` gives what is `expected`."""

    name: str
    command: list
    fresh: Callable[[], None]
    digest: Callable[[], str]
    expected: str
    rows: int
    extra: Optional[Callable] = None
    """A number besides the time: the run's measure → the number."""
    ours: bool = True


@dataclass
class Ratio:
    """The rate of `ours` over that of `peer`."""

    case: str
    peer_name: str
    ours: str
    peer: str
    goal: float


@dataclass
class AtMost:
    """The extra number of `ours`."""

    case: str
    ours: str
    goal: float
    unit: str


@dataclass
class Group:
    """Contenders that run in turn, and what is said of them."""

    contenders: list
    lines: list
    repeats: Optional[int] = None


class World:
    """Servers a and b, the legacy rows on a, a folder."""

    def __init__(self, program, work, rows, stack):
        self.program, self.work, self.rows, self.stack = program, work, rows, stack
        self.a = Postgres(os.path.join(work, "a"), stack)
        self.b = Postgres(os.path.join(work, "b"), stack)
        data.make_postgres(self.a, rows)

    def path(self, name):
        return os.path.join(self.work, name)

    @cached_property
    def lite(self):
        path = self.path("source.db")
        data.make_sqlite(self.a, path)
        return path

    @cached_property
    def maria(self):
        server = MariaDb(self.path("maria"), self.stack)
        data.make_mariadb(server, self.a, self.path("maria.copy"))
        return server

    @cached_property
    def ready(self):
        path = self.path("ready.copy")
        data.make_ready(self.a, path)
        return path

    @cached_property
    def mapped(self):
        return data.pg_digest(self.a, data.MAPPED)

    @cached_property
    def from_lite(self):
        return data.pg_digest(self.a, data.FROM_LITE)

    @cached_property
    def lite_reference(self):
        """A SQLite target that the sqlite3 shell filled."""
        path = self.path("reference.db")
        data.lite_target(path)
        data.output(self.lite_shell(path))
        return path

    def lite_shell(self, target):
        """SQLite to SQLite in one statement; a commit waits for the disk."""
        statement = (f"PRAGMA synchronous = FULL; ATTACH '{self.lite}' AS source; "
                     f"INSERT INTO workflows {data.LITE_MAPPED.replace('FROM ', 'FROM source.')}")
        return ["sqlite3", target, statement]

    def copy(self, name, source, target, workers=1, batch=10_000, tables=(("dh_workflow", "workflows"),),
             columns=MAPPING, rows=None, options="", throttle=""):
        """Writes a plan; the command that runs it. `rows`: what is to be expected."""
        text = f'name = "{name}"\n[source]\nurl = "{source}"\n[target]\nurl = "{target}"\n'
        text += f"[defaults]\nworkers = {workers}\nbatch_rows = {batch}\n{options}"
        if throttle:
            text += f"[throttle]\n{throttle}\n"
        for table, into in tables:
            text += f'[[step]]\nname = "{into}"\ncopy = "{table}"\ninto = "{into}"\ntune = {{ analyze = false }}\n'
            if rows is not None:
                text += f"expect = {{ source = {rows}, before = 0, after = {rows} }}\n"
            text += columns
        path = self.path(name + ".toml")
        with open(path, "w", encoding="utf-8") as plan:
            plan.write(text)
        return [self.program, "run", path, "-q"]

    def fresh(self, server, *statements, table="workflows", make=data.TARGET, database="postgres"):
        """A function that empties a target on a server and lets both servers come to rest."""
        def empty():
            server.sql("DROP SCHEMA IF EXISTS tablelift CASCADE", f"DROP TABLE IF EXISTS {table}",
                       make, *statements, database=database)
            self.rest()
        return empty

    def rest(self):
        """What was written before is on disk, and is not paid for by the next run."""
        for server in (self.a, self.b):
            server.sql("CHECKPOINT")
        os.sync()

    def fresh_lite(self):
        """The path of SQLite targets is always the same."""
        for name in os.listdir(self.work):
            if name.startswith("target.db"):
                os.remove(self.path(name))
        data.lite_target(self.lite_target)
        self.rest()

    @property
    def lite_target(self):
        return self.path("target.db")

    def of_table(self, server, table="workflows", database="postgres"):
        """A function that hashes a target."""
        return lambda: data.pg_digest(server, f"SELECT * FROM {table}", database)
