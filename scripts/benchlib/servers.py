"""Private servers, on free ports of this machine."""

import os
import shutil
import socket
import subprocess
import time

from .measure import Failed, output

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "postgres")


class Postgres:
    """One PostgreSQL server with its durability on; database `postgres`, and others by name."""

    def __init__(self, folder, stack):
        stack.callback(lambda: subprocess.run([SCRIPT, "stop", folder], check=False))
        self.url = output([SCRIPT, "start", folder]).removeprefix("URL=")
        # Its rounds would fall into some runs and not into others; sources are vacuumed once.
        self.sql("ALTER SYSTEM SET autovacuum = off")
        self.sql("SELECT pg_reload_conf()")

    def at(self, database):
        """The URL of another database of this server."""
        return self.url.rsplit("/", 1)[0] + "/" + database

    def sql(self, *statements, database="postgres"):
        """Runs statements, each by itself, and gives what they print."""
        command = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"]
        for statement in ("SET client_min_messages = warning", *statements):
            command += ["-c", statement]
        return output([*command, self.at(database)])


class MariaDb:
    """One MariaDB server with its defaults: durable, and a buffer of 128 MiB."""

    def __init__(self, folder, stack):
        os.makedirs(f"{folder}/tmp")
        user = []
        if os.getuid() == 0:
            shutil.chown(folder, "mysql", "mysql")
            shutil.chown(f"{folder}/tmp", "mysql", "mysql")
            user = ["--user=mysql"]
        base = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}/tmp", *user]
        output(["mariadb-install-db", *base, "--auth-root-authentication-method=normal"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        server = subprocess.Popen(
            ["mariadbd", *base, "--bind-address=127.0.0.1", f"--port={self.port}",
             f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--local-infile=1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        stack.callback(lambda: (server.terminate(), server.wait()))
        self.client = [
            "mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot",
            "--local-infile=1", "--default-character-set=utf8mb4",
        ]
        for _ in range(300):
            if subprocess.run([*self.client, "-e", "SELECT 1"], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise Failed("MariaDB did not start")
        self.url = f"mysql://root@127.0.0.1:{self.port}/bench"
        output([*self.client, "-e", "CREATE DATABASE bench CHARACTER SET utf8mb4"])

    def sql(self, statement):
        """Runs one statement and gives what it prints."""
        return output([*self.client, "--batch", "--raw", "-N", "bench", "-e", statement])
