//! SQLite: files, and the sessions on them.
//!
//! `rusqlite` and not the other driver, for three reasons: it gives each value by its own
//! storage class (text that is not UTF-8 included), it can register functions, so that SQL and
//! Rust map a row by the same code, and it reads rows many times faster.

mod catalog;
mod error;
pub mod foresight;
mod functions;
mod session;
mod survey;
mod write;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use self::session::SqliteSession;
use super::Access;
use crate::error::{Error, Result};

/// One SQLite file.
pub struct File {
    /// Empty: an empty database in memory, for plans without a source.
    path: PathBuf,
}

impl File {
    /// Understands what follows `sqlite:`; relative paths start at the plan's folder.
    pub fn new(path: &str, dir: &Path) -> Result<File> {
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.strip_prefix("file:").unwrap_or(path);
        if path.is_empty() || path == ":memory:" || path.contains('\0') {
            return Err(Error::invalid("a SQLite URL needs the path of a file")
                .hint("Write sqlite:legacy.db, or sqlite:/absolute/path.db."));
        }
        if path.contains('?') {
            return Err(Error::invalid("a SQLite URL takes no parameters")
                .hint("Write the path alone: sqlite:legacy.db."));
        }
        Ok(File { path: dir.join(path) })
    }

    /// An empty database that is no file and keeps nothing.
    pub fn nothing() -> File {
        File { path: PathBuf::new() }
    }

    fn is_nothing(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    /// The path.
    pub fn display(&self) -> String {
        match self.is_nothing() {
            true => "nothing: all rows come from files or the plan".to_owned(),
            false => self.path.display().to_string(),
        }
    }

    /// Both names lead to one file.
    pub fn same_as(&self, other: &File) -> bool {
        self.path == other.path
            || match (self.path.canonicalize(), other.path.canonicalize()) {
                (Ok(one), Ok(two)) => one == two,
                _ => false,
            }
    }

    /// Opens an owned connection.
    pub fn session(&self, access: Access) -> Result<SqliteSession> {
        let flags = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Access::Look => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        if self.is_nothing() || access == Access::Look && !self.path.exists() {
            let memory = Connection::open_in_memory();
            return SqliteSession::new(memory.map_err(|failure| error::convert(&failure))?, access);
        }
        if access == Access::Read && !self.path.exists() {
            return Err(Error::invalid(format!("there is no SQLite file {}", self.display()))
                .hint("Check the path; relative paths start at the plan's folder."));
        }
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|failure| {
            let mut error = error::convert(&failure);
            error.message = format!("can't open {}: {}", self.display(), error.message);
            error.kind = crate::error::Kind::Invalid;
            error
        })?;
        SqliteSession::new(connection, access)
    }

    /// Runs a script on the file, creating it where it is missing.
    pub fn execute_script(&self, sql: &str) -> Result<()> {
        let connection = Connection::open(&self.path).and_then(|connection| {
            connection.execute_batch(sql)?;
            Ok(connection)
        });
        connection.map(drop).map_err(|failure| error::convert(&failure))
    }

    /// A writing session that sees `source` as the attached database `source`, or as itself
    /// when both are one file.
    pub fn session_with(&self, source: &File) -> Result<SqliteSession> {
        let mut session = self.session(Access::Write)?;
        if !self.same_as(source) {
            session.attach(&source.path)?;
        }
        Ok(session)
    }

    /// Locks a file beside the database against other conductors. `None`: it is locked.
    pub fn lock(&self) -> Result<Option<FileLock>> {
        let mut name = self.path.clone().into_os_string();
        name.push(".tablelift-lock");
        let path = PathBuf::from(name);
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::invalid(format!("can't {what} {}: {error}", path.display()))
                .hint("The folder of the target must be writable.")
        };
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed("create", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed("lock", &error)),
        }
        // Its last holder may have removed the file after we opened it.
        let same = match (std::fs::metadata(&path), file.metadata()) {
            (Ok(named), Ok(locked)) => named.ino() == locked.ino(),
            _ => false,
        };
        // Only a lock on the named file may remove that name when it is dropped.
        Ok(if same { Some(FileLock { _file: file, path }) } else { None })
    }
}

/// A locked file; dropping it removes the file, then the lock.
pub struct FileLock {
    _file: std::fs::File,
    path: PathBuf,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Left behind, it does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
