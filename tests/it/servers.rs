//! Servers that say no, stop, or run out of room.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Postgres, World, mariadb, psql, ran, sqlite_rows};
use crate::pair::{Pair, plan};

/// Raises `code` for the `hit`-th row that is written to `t`, once: a sequence doesn't roll back.
fn raise_once(database: &Postgres, code: &str, hit: u32) {
    database.sql(&format!(
        "CREATE SEQUENCE written; CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN IF nextval('written') = {hit} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; \
         END IF; RETURN NEW; END $$; \
         CREATE TRIGGER trouble BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trouble()"
    ));
}

#[test]
fn transient_errors_are_tried_again_and_make_no_rejects() {
    let codes = ["40001", "40P01", "55P03", "57014", "53300", "53200", "25P03", "72000", "08006"];
    for (at, code) in codes.into_iter().enumerate() {
        let pair = Pair::new(60, at % 2 == 0, true);
        let hit = [1, 30, 59][at % 3];
        raise_once(pair.postgres.as_ref().unwrap(), code, hit);
        let options = "[defaults]\nbatch_rows = 20\nworkers = 2";
        pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
        let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
        let retried = ran.events("batch_retried");
        assert_eq!(retried.len(), 1, "{code}: {}", ran.out);
        assert!(retried[0]["reason"].to_string().contains(code), "{}", retried[0]);
        assert!(ran.events("row_rejected").is_empty(), "{code}");
        pair.holds(60, code);
    }
}

#[test]
fn a_data_error_that_does_not_repeat_makes_no_reject() {
    for code in ["23514", "22003"] {
        for hit in [1, 25, 60] {
            let pair = Pair::new(60, true, true);
            raise_once(pair.postgres.as_ref().unwrap(), code, hit);
            let options = "[defaults]\nbatch_rows = 20\nworkers = 1";
            pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
            let ran = pair.world.run(&["run", "p.toml", "--json"]).ok();
            assert!(ran.events("row_rejected").is_empty(), "{code} {hit}");
            pair.holds(60, code);
        }
    }
}

#[test]
fn an_unknown_error_stops_the_step_and_makes_no_reject() {
    for code in ["XX000", "42P01", "53100", "ZZ999"] {
        let pair = Pair::new(60, true, true);
        raise_once(pair.postgres.as_ref().unwrap(), code, 30);
        let options = "[defaults]\nbatch_rows = 20\nworkers = 1\nmax_rejects = 9";
        pair.world.write("p.toml", &plan(&pair.source, &pair.target, options));
        let ran = pair.world.run(&["run", "p.toml", "--json"]).code(1);
        assert!(ran.err.contains(code) || ran.out.contains(code), "{}", ran.err);
        assert!(ran.events("row_rejected").is_empty(), "{code}");
        assert!(ran.events("batch_retried").is_empty(), "{code}");
        pair.world.run(&["run", "p.toml"]).ok();
        pair.holds(60, code);
    }
}

/// A server of its own, which a test may stop.
pub struct Server {
    dir: tempfile::TempDir,
    script: &'static str,
    pub url: String,
}

pub const POSTGRES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
pub const MARIADB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/mariadb");

impl Server {
    /// Started by `wrap` (a command before the script's), which may be empty.
    pub fn start(script: &'static str, wrap: &[&str]) -> Server {
        Server::begin(script, wrap, "start", "--fast")
    }

    /// A MariaDB that replicas can follow, and one that does.
    pub fn replicated() -> (Server, Server) {
        let primary = Server::begin(MARIADB, &[], "primary", "--fast");
        let replica = Server::begin(MARIADB, &[], "replica", &primary.home());
        (primary, replica)
    }

    /// A streaming standby of `of`.
    pub fn standby(of: &Server) -> Server {
        Server::begin(POSTGRES, &[], "standby", &of.home())
    }

    fn begin(script: &'static str, wrap: &[&str], command: &str, more: &str) -> Server {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let words: Vec<&str> = wrap.iter().copied().chain([script]).collect();
        let home = dir.path().join("pg");
        let output = Command::new(words[0])
            .args(&words[1..])
            .args([command, home.to_str().unwrap(), more])
            .output()
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let url = out.trim().rsplit_once("URL=").unwrap().1.to_owned();
        Server { dir, script, url }
    }

    fn home(&self) -> String {
        self.dir.path().join("pg").display().to_string()
    }

    pub fn script(&self, command: &str) {
        let done = Command::new(self.script).args([command, &self.home()]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The process id of the server.
    fn postmaster(&self) -> String {
        let file = Path::new(&self.home()).join("data/postmaster.pid");
        std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(self.script).args(["stop", &self.home()]).output();
    }
}

#[test]
fn a_server_that_crashes_in_mid_run_is_waited_for() {
    let server = Server::start(POSTGRES, &[]);
    psql(
        &server.url,
        "CREATE TABLE s (id integer PRIMARY KEY, name text, v text); \
         INSERT INTO s SELECT n, 'n' || n, 'x' FROM generate_series(1, 2000) n; \
         CREATE TABLE t (id integer PRIMARY KEY, name text, data text); \
         CREATE TABLE marks (n integer)",
    );
    let world = World::new();
    // Retries enough for a recovery that takes a while on a busy machine.
    let options = "[defaults]\nbatch_rows = 20\nworkers = 2\nretries = 9\n\
                   [throttle]\nrows_per_second = 350";
    world.write("p.toml", &plan(&server.url, &server.url, options));
    let mut command = world.command(&["run", "p.toml", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    server.script("restart");
    std::thread::sleep(Duration::from_millis(1500));
    // The kernel's way: a backend is killed, and the server ends all the others.
    let ours = "SELECT min(pid) FROM pg_stat_activity WHERE application_name LIKE 'tablelift/%'";
    let pid = psql(&server.url, ours);
    let killed = Command::new("kill").args(["-9", pid.trim()]).status();
    assert!(killed.unwrap().success());
    let run = ran(child.wait_with_output().unwrap());
    let retried = run.events("batch_retried").len();
    assert!(retried >= 2, "the crashes landed: {}", run.out);
    run.ok();
    let rows = psql(&server.url, "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t");
    assert_eq!(rows.trim(), "2000|2000|1|2000");
    let sums = "SELECT sum(read_rows), sum(inserted) FROM tablelift.batches";
    assert_eq!(psql(&server.url, sums).trim(), "2000|2000");
}

#[test]
fn a_mariadb_that_crashes_in_mid_run_is_waited_for() {
    let server = Server::start(MARIADB, &[]);
    mariadb(
        &server.url,
        "CREATE TABLE s (id integer PRIMARY KEY, name text, v text); \
         INSERT INTO s SELECT seq, concat('n', seq), 'x' FROM seq_1_to_1200; \
         CREATE TABLE t (id integer PRIMARY KEY, name varchar(9), data text); \
         CREATE TABLE marks (n integer)",
    );
    let world = World::new();
    let options = "[defaults]\nbatch_rows = 20\nworkers = 2\nretries = 9\n\
                   [throttle]\nrows_per_second = 350";
    world.write("p.toml", &plan(&server.url, &server.url, options));
    let mut command = world.command(&["run", "p.toml", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    server.script("restart");
    let run = ran(child.wait_with_output().unwrap());
    assert!(!run.events("batch_retried").is_empty(), "the crash landed: {}", run.out);
    run.ok();
    let rows = mariadb(&server.url, "SELECT count(*), count(DISTINCT id), max(id) FROM t");
    assert_eq!(rows.trim(), "1200\t1200\t1200");
    let sums = "SELECT sum(read_rows), sum(inserted) FROM tablelift_batches";
    assert_eq!(mariadb(&server.url, sums).trim(), "1200\t1200");
}

/// A mount namespace of one's own, in which a tiny file system can fill up.
fn namespace() -> Option<&'static [&'static str]> {
    let works = |words: &[&str]| {
        Command::new(words[0])
            .args(&words[1..])
            .args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let own: &[&str] = &["unshare", "-m"];
    let mapped: &[&str] = &["unshare", "-Urm"];
    [own, mapped].into_iter().find(|words| works(words))
}

#[test]
fn a_full_disk_under_sqlite_is_said_and_the_run_goes_on_when_there_is_room() {
    let Some(unshare) = namespace() else {
        eprintln!("not run: this machine allows no mount namespace");
        return;
    };
    let pair = Pair::new(6000, false, false);
    pair.world
        .write("p.toml", &plan("sqlite:s.db", "sqlite:small/t.db", "[defaults]\nbatch_rows = 200"));
    std::fs::create_dir(pair.world.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=600k tmpfs small && mv t.db small/ && \
        head -c 300000 /dev/zero > small/filler; \
        \"$0\" run p.toml; echo \"first $?\"; sqlite3 small/t.db 'SELECT count(*) FROM t' \
        'PRAGMA integrity_check'; \"$0\" run p.toml; echo \"still $?\"; rm small/filler; \
        \"$0\" run p.toml; echo \"then $?\"; cp small/t.db t.db";
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).args(["bash", "-c", script, crate::common::PROGRAM]);
    let run = ran(command.current_dir(pair.world.dir.path()).output().unwrap());
    assert!(run.out.contains("first 1"), "it filled up: {}\n{}", run.out, run.err);
    assert!(run.out.contains("\nok\n"), "the file is whole: {}", run.out);
    assert!(run.err.contains("The disk is full. Make room"), "{}", run.err);
    assert!(run.out.contains("still 1"), "{}", run.out);
    assert!(run.out.contains("then 0"), "{}\n{}", run.out, run.err);
    pair.holds(6000, "disk full");
    let left = sqlite_rows(&pair.world.path("t.db"), "SELECT count(*) FROM tablelift_rejects");
    assert_eq!(left, ["0"]);
}

#[test]
fn a_full_disk_under_postgres_is_said_and_the_run_goes_on_when_there_is_room() {
    if namespace() != Some(&["unshare", "-m"][..]) {
        eprintln!("not run: needs root, to give a server a small file system");
        return;
    }
    let small = tempfile::tempdir().unwrap();
    let path = small.path().display().to_string();
    let mount = format!(
        "mount -t tmpfs -o size=1m tmpfs {path} && chown postgres {path} && chmod 755 {path} && \
         head -c 800000 /dev/zero > {path}/filler && exec \"$0\" \"$@\""
    );
    let server = Server::start(POSTGRES, &["unshare", "-m", "bash", "-c", &mount]);
    psql(&server.url, &format!("CREATE TABLESPACE small LOCATION '{path}/ts'").replace("/ts", ""));
    psql(
        &server.url,
        "CREATE TABLE s (id integer PRIMARY KEY, name text, v text); \
         INSERT INTO s SELECT n, 'n' || n, repeat('x', 40) FROM generate_series(1, 6000) n; \
         CREATE TABLE t (id integer, name text, data text) TABLESPACE small; \
         CREATE TABLE marks (n integer)",
    );
    let world = World::new();
    world.write("p.toml", &plan(&server.url, &server.url, "[defaults]\nbatch_rows = 200"));
    let first = world.run(&["run", "p.toml", "--json"]).code(1);
    assert!(first.err.contains("53100") || first.out.contains("53100"), "{}", first.err);
    assert!(first.events("batch_retried").is_empty(), "no hot loop: {}", first.out);
    let text = world.run(&["run", "p.toml"]).code(1).err;
    assert!(text.contains("The target's disk is full. Make room"), "{text}");
    let free = format!("rm {path}/filler");
    let freed = Command::new("nsenter")
        .args(["-t", &server.postmaster(), "-m", "sh", "-c", &free])
        .status();
    assert!(freed.unwrap().success());
    world.run(&["run", "p.toml"]).ok();
    let rows = psql(&server.url, "SELECT count(*), count(DISTINCT id) FROM t");
    assert_eq!(rows.trim(), "6000|6000");
}
