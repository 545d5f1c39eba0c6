//! `run --metrics`: numbers and the live page of a run that goes on, and who may see them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::Db;
use crate::pair::{Pair, plan};
use crate::throttle::write_plan;

/// A run that serves its numbers, and where.
struct Served {
    child: Child,
    at: String,
}

impl Served {
    fn begin(pair: &Pair) -> Served {
        let mut command = pair.world.command(&["run", "p.toml", "--metrics", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let at = line.trim().strip_prefix("metrics: http://").unwrap_or_else(|| panic!("{line}"));
        let at = at.split('/').next().unwrap().to_owned();
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Served { child, at }
    }

    fn ask(&self, request: &str) -> (u16, String) {
        ask(&self.at, request).unwrap()
    }

    fn get(&self, path: &str, more: &str) -> (u16, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{more}Connection: close\r\n\r\n",
            self.at
        ))
    }

    /// Asks until the answer is right.
    #[track_caller]
    fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let (_, answer) = self.get(path, "");
            if holds(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{path}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn ask(at: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
}

/// The value of a sample, by the beginning of its line.
fn sample(metrics: &str, begin: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(begin));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(-1.0)
}

/// Prometheus' own lint, where it is installed.
#[track_caller]
fn lint(answer: &str) {
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else { return };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && out.is_empty() && err.is_empty(), "{out}{err}\n{text}");
}

#[test]
fn numbers_and_page_of_a_run_that_goes_on() {
    let pair = Pair::new(900, Db::Sqlite, Db::Postgres);
    pair.sql(&pair.source, "UPDATE s SET name = 'bad' WHERE id = 30");
    let options = "[defaults]\nbatch_rows = 20\nmax_rejects = 1\n[throttle]\nrows_per_second = 300\n\
                   [throttle.back_off_when]\nlock_waits = 5\nfile = \"flag\"";
    write_plan(&pair, options);
    let served = Served::begin(&pair);
    let running = served.until("/metrics", |text| {
        sample(text, "tablelift_rows_read_total{step=\"copy\"}") >= 40.0
            && sample(text, "tablelift_rows_rejected_total{step=\"copy\"}") == 1.0
            && sample(text, "tablelift_throttle_wait_seconds_total{signal=\"rows_per_second\"}")
                > 0.0
    });
    lint(&running);
    let rows = sample(&running, "tablelift_rows_read_total{step=\"copy\"}");
    let batches = sample(&running, "tablelift_batches_total{step=\"copy\"}");
    assert_eq!(sample(&running, "tablelift_batch_duration_seconds_count{step=\"copy\"}"), batches);
    assert_eq!(sample(&running, "tablelift_rows_left{step=\"copy\"}"), 900.0 - rows);
    assert_eq!(sample(&running, "tablelift_signal_limit{signal=\"lock_waits\"}"), 5.0);
    assert_eq!(sample(&running, "tablelift_signal_readable{signal=\"lock_waits\"}"), 1.0);
    let (_, open) =
        served.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(open.contains("content-type: application/openmetrics-text"), "{open}");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE tablelift_rows_read counter"));
    let page = served
        .until("/", |page| page.contains("rect class=\"wait\"") || page.contains("class=\"line\""));
    for part in ["content-security-policy: default-src 'none'", "script-src 'self'", "nosniff"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("<script src=\"/live.js\"") && page.contains(">Running<"), "{page}");
    refuses(&served);
    // Who looks sees the end.
    let begun = Instant::now();
    let mut last = String::new();
    while let Some((200, body)) = ask(&served.at, &get("/body", &served.at)) {
        last = body;
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(last.contains("Done: everything that was expected holds"), "{last}");
    assert_eq!(served.code(), Some(0));
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Other names, other origins and anything but a look are refused; long requests are cut off.
fn refuses(served: &Served) {
    for host in ["evil.example", "127.0.0.1.evil.example", ""] {
        assert_eq!(served.ask(&get("/", host)).0, 403, "{host}");
    }
    assert_eq!(served.ask(&get("/metrics", "localhost:1")).0, 200);
    for more in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let (code, answer) = served.get("/body", more);
        assert_eq!(code, 403, "{more}");
        assert!(!answer.contains("copy") && !answer.contains("access-control"), "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = get("/", &served.at).replacen("GET", method, 1);
        let (code, answer) = served.ask(&request);
        assert_eq!(code, 405, "{method}");
        assert!(answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let (code, head) = served.ask(&get("/metrics", &served.at).replacen("GET", "HEAD", 1));
    assert!(code == 200 && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(served.get("/nothing", "").0, 404);
    let long = format!("X: {}\r\n", "x".repeat(100_000));
    let answer = ask(&served.at, &get("/", &served.at).replacen("Host", &format!("{long}Host"), 1));
    assert!(answer.is_none_or(|(code, _)| code == 431), "a head has an end");
}

#[test]
fn an_address_that_is_taken_or_none_touches_nothing() {
    let pair = Pair::new(10, Db::Sqlite, Db::Sqlite);
    pair.world.write("p.toml", &plan(&pair.source, &pair.target, ""));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let ran = pair.world.run(&["run", "p.toml", "--metrics", &at]).code(2);
    assert!(ran.err.contains("another process has it"), "{}", ran.err);
    for wrong in ["x", "1.2.3.4:99999", "999.1.1.1:1", ""] {
        let flag = format!("--metrics={wrong}");
        pair.world.run(&["run", "p.toml", &flag]).code(2);
    }
    assert_eq!(pair.rows("SELECT count(*) FROM sqlite_master WHERE name LIKE 'tablelift%'"), ["0"]);
    let open = pair.world.run(&["run", "p.toml", "--metrics", "0.0.0.0:0"]).ok();
    assert!(open.err.contains("can be read by everybody"), "{}", open.err);
}

#[test]
fn hostile_names_are_labels() {
    let pair = Pair::new(900, Db::Sqlite, Db::Sqlite);
    let step = "a\\\"} 1\\n# TYPE x counter\\\\";
    let text = plan(
        &pair.source,
        &pair.target,
        "[defaults]\nbatch_rows = 30\n[throttle]\nrows_per_second = 300",
    );
    let check =
        "[[check]]\nname = \"<b>\\\"\\\\\"\nsql = \"SELECT 1\"\nvalue = 1\nwhen = \"both\"\n";
    pair.world
        .write("p.toml", &format!("{}{check}", text.replace("\"copy\"", &format!("\"{step}\""))));
    let served = Served::begin(&pair);
    let begin = "tablelift_batches_total{step=\"a\\\"} 1\\n# TYPE x counter\\\\\"}";
    let metrics = served.until("/metrics", |text| sample(text, begin) >= 2.0);
    assert_eq!(sample(&metrics, "tablelift_check_ok{check=\"<b>\\\"\\\\\",when=\"before\"}"), 1.0);
    lint(&metrics);
    assert_eq!(served.code(), Some(0));
}
