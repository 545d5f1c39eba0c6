"""The rows: a legacy table of 14 columns and about 500 bytes a row, the same on every database,
and what a right copy of them hashes to."""

import csv
import hashlib
import sqlite3
import subprocess

from .measure import output

# Keys with gaps, Unicode, one value in five NULL where a column may be, numbers whose zeros count.
LEGACY = """CREATE TABLE dh_workflow AS SELECT n * 3 + n % 2 AS id, md5(n::text)::uuid AS uid,
  'workflow ' || n || ' é' AS name,
  CASE WHEN n % 5 = 0 THEN NULL ELSE repeat('description ', 1 + n::int % 24) END AS description,
  CASE WHEN n % 5 = 1 THEN NULL ELSE ((n % 1000000)::numeric / 100)::numeric(12,2) END AS price,
  (n % 7)::int AS grp, n % 2 = 0 AS active,
  CASE WHEN n % 5 = 3 THEN NULL ELSE 'note "' || n || '"' END AS note,
  timestamptz '2024-01-01 00:00:00+00' + n * interval '1 minute' AS created_at,
  CASE WHEN n % 5 = 4 THEN NULL ELSE timestamp '2024-06-01 00:00:00' + n * interval '1.5 second' END AS updated_at,
  ARRAY['tag' || n % 9, 'ü'] AS tags,
  jsonb_build_object('n', n, 'steps', jsonb_build_array('a', 'ü', n % 9), 'on', true) AS doc,
  CASE WHEN n % 5 = 2 THEN NULL ELSE (n % 1000)::int END AS owner, 'v' || n % 3 AS version
FROM generate_series(1::bigint, {rows}) n"""

TARGET = ("CREATE TABLE workflows (id bigint PRIMARY KEY, name text NOT NULL, "
          "definition jsonb NOT NULL, created_at timestamptz)")
LITE_TARGET = ("CREATE TABLE workflows (id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
               "definition JSON NOT NULL, created_at TEXT)")
LITE_LEGACY = """CREATE TABLE dh_workflow (id INTEGER PRIMARY KEY, uid TEXT, name TEXT NOT NULL,
  description TEXT, price NUMERIC, grp INTEGER, active BOOLEAN, note TEXT, created_at TEXT,
  updated_at TEXT, tags JSON, doc JSON, owner INTEGER, version TEXT)"""
# The legacy table as a target of plain copies from a database without arrays.
PLAIN_TARGET = """CREATE TABLE dh_workflow (id bigint PRIMARY KEY, uid uuid, name text NOT NULL,
  description text, price numeric, grp int, active boolean, note text, created_at timestamptz,
  updated_at timestamp, tags jsonb, doc jsonb, owner int, version text)"""

FOLDED = ["uid", "description", "price", "grp", "active", "note", "updated_at", "tags", "doc",
          "owner", "version"]


def mapped(folded="jsonb_build_object", where="", **instead):
    """The mapping as a SELECT: three columns, and all others in one JSON document."""
    pairs = ", ".join(f"'{name}', {instead.get(name, name)}" for name in FOLDED)
    return f"SELECT id, name, {folded}({pairs}) AS definition, created_at FROM dh_workflow {where}"


MAPPED = mapped()
# What the rows are once they went through a database that has no decimals, dates or arrays. Said
# in PostgreSQL's words, so that it depends on no tool that is measured.
FROM_LITE = mapped(price="trim_scale(price)", updated_at="updated_at::text")
PLAIN_FROM_LITE = ("SELECT id, uid, name, description, trim_scale(price), grp, active, note, "
                   "created_at, updated_at, to_jsonb(tags), doc, owner, version FROM dh_workflow")
LITE_MAPPED = mapped("json_object", active="json(iif(active, 'true', 'false'))",
                     tags="json(tags)", doc="json(doc)")

FOR_CSV = ("SELECT id, uid, name, description, price, grp, active::int, note, created_at, "
           "updated_at, to_jsonb(tags), doc, owner, version FROM dh_workflow ORDER BY id")


def pg_digest(server, query, database="postgres"):
    """Rows and content of a query, in any order."""
    digest = f"SELECT count(*) || ' ' || coalesce(sum(hashtextextended(q::text, 0)), 0) FROM ({query}) q"
    return server.sql(digest, database=database)


def lite_digest(path, limit=-1):
    """Rows and content of the first rows of a SQLite target; JSON without its spaces."""
    database = sqlite3.connect(path)
    digest, rows = hashlib.sha256(), 0
    query = "SELECT id, name, json(definition), created_at FROM workflows ORDER BY id LIMIT ?"
    for row in database.execute(query, [limit]):
        digest.update(repr(row).encode())
        rows += 1
    database.close()
    return f"{rows} {digest.hexdigest()}"


def make_postgres(server, rows):
    """The legacy table on a PostgreSQL server."""
    server.sql(LEGACY.format(rows=rows), "ALTER TABLE dh_workflow ADD PRIMARY KEY (id)",
               "VACUUM ANALYZE dh_workflow", "CHECKPOINT")


def like_legacy(server, name):
    """A statement that makes an empty table of the legacy table's columns, in any database."""
    columns = server.sql("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) "
                         "FROM pg_attribute WHERE attrelid = 'dh_workflow'::regclass AND attnum > 0")
    return f"CREATE TABLE {name} ({columns}, PRIMARY KEY (id))"


def make_sqlite(server, path):
    """The same rows in a SQLite file."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(LITE_LEGACY)
    copy = subprocess.Popen(
        ["psql", "-X", "-q", "-c", f"COPY ({FOR_CSV}) TO STDOUT (FORMAT csv, NULL '\\N')", server.url],
        stdout=subprocess.PIPE, text=True, encoding="utf-8",
    )
    rows = ([None if cell == "\\N" else cell for cell in row] for row in csv.reader(copy.stdout))
    database.executemany(f"INSERT INTO dh_workflow VALUES ({', '.join('?' * 14)})", rows)
    if copy.wait() != 0:
        raise SystemExit("the rows could not be read")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def make_ready(server, path):
    """The mapped rows as text that COPY takes: what is left is the server's own work."""
    with open(path, "wb") as ready:
        command = ["psql", "-X", "-q", "-c", f"COPY ({FROM_LITE} ORDER BY id) TO STDOUT", server.url]
        subprocess.run(command, stdout=ready, check=True)


# MariaDB writes JSON and dates in its own way; these are PostgreSQL's words for the same.
MARIA_MAPPED = mapped(
    "json_object",
    active="json_extract(IF(active, 'true', 'false'), '$')",
    updated_at=("IF(microsecond(updated_at) = 0, date_format(updated_at, '%Y-%m-%dT%H:%i:%s'), "
                "trim(TRAILING '0' FROM date_format(updated_at, '%Y-%m-%dT%H:%i:%s.%f')))"),
    tags="json_compact(tags)", doc="json_compact(doc)",
)
PLAIN_FROM_MARIA = PLAIN_FROM_LITE.replace("trim_scale(price)", "price")


def make_mariadb(server, source, path):
    """The same rows in MariaDB, by way of a file at `path`."""
    query = FOR_CSV.replace("created_at", "created_at::timestamp")
    with open(path, "wb") as rows:
        command = ["psql", "-X", "-q", "-c", f"COPY ({query}) TO STDOUT", source.url]
        subprocess.run(command, stdout=rows, check=True)
    server.sql("""CREATE TABLE dh_workflow (id BIGINT PRIMARY KEY, uid CHAR(36), name TEXT NOT NULL,
      description TEXT, price DECIMAL(12,2), grp INT, active BOOLEAN, note TEXT, created_at TIMESTAMP(6) NULL,
      updated_at DATETIME(6), tags JSON, doc JSON, owner INT, version VARCHAR(20))""")
    server.sql(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE dh_workflow CHARACTER SET utf8mb4")
    server.sql("ANALYZE TABLE dh_workflow")


def lite_target(path):
    """An empty SQLite target."""
    output(["sqlite3", path, f"PRAGMA journal_mode = WAL; {LITE_TARGET}"])
