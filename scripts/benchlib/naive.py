"""The copy as a short script would do it: rows come out, become JSON, and go in.

naive.py row|thousand ROWS SOURCE TARGET, both PostgreSQL URLs (with psycopg) or both SQLite files.
`row` commits every hundred rows, `thousand` inserts and commits a thousand at a time.
"""

import json
import sqlite3
import sys

COLUMNS = ["uid", "description", "price", "grp", "active", "note", "updated_at", "tags", "doc", "owner", "version"]


def open_postgres(source, target):
    import psycopg

    # What json.dumps doesn't know comes in a form that it does.
    typed = {"uid": "uid::text", "price": "to_jsonb(trim_scale(price))", "updated_at": "updated_at::text"}
    rows = psycopg.connect(source).cursor("rows")
    return rows, psycopg.connect(target), typed, "%s"


def open_sqlite(source, target):
    database = sqlite3.connect(target)
    database.execute("PRAGMA synchronous = FULL")
    return sqlite3.connect(source).cursor(), database, {}, "?"


def document(values):
    found = dict(zip(COLUMNS, values))
    found["active"] = bool(found["active"])
    for name in ("tags", "doc"):
        if isinstance(found[name], str):
            found[name] = json.loads(found[name])
    return json.dumps(found, ensure_ascii=False)


def main(how, limit, source, target):
    opened = (open_postgres if "://" in source else open_sqlite)(source, target)
    rows, database, typed, mark = opened
    chosen = ", ".join(typed.get(name, name) for name in COLUMNS)
    rows.execute(f"SELECT id, name, created_at, {chosen} FROM dh_workflow ORDER BY id LIMIT {limit}")
    insert = f"INSERT INTO workflows (id, name, created_at, definition) VALUES ({', '.join([mark] * 4)})"
    write = database.cursor()
    mapped = ((*row[:3], document(row[3:])) for row in rows)
    if how == "row":
        for number, row in enumerate(mapped, 1):
            write.execute(insert, row)
            if number % 100 == 0:
                database.commit()
    else:
        block = []
        for row in mapped:
            block.append(row)
            if len(block) == 1000:
                write.executemany(insert, block)
                database.commit()
                block = []
        write.executemany(insert, block)
    database.commit()


main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
