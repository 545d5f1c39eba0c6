//! Opening files: what packs them, what marks their beginning, and whether they changed.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::plan::files::Packing;

/// Tells whether a file was written since it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// The file as it is now.
    pub fn of(path: &Path) -> Result<Stamp> {
        let about = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        Ok(Stamp { size: about.len(), modified: about.modified().ok() })
    }

    /// # Errors
    /// The file is another one now.
    pub fn holds(&self, path: &Path) -> Result<()> {
        if Stamp::of(path)? == *self {
            return Ok(());
        }
        Err(Error::stop(format!("{}: the file changed while it was read", path.display()))
            .hint("Wait until nobody writes to the file, then run again."))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid(format!("{}: {error}", path.display()))
}

/// SHA-256 of the file's bytes, in hex.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer).map_err(|error| unreadable(path, &error))?;
        match buffer.get(..length) {
            Some(bytes) if length > 0 => hash.update(bytes),
            _ => break,
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The bytes that were packed. All members of an archive are read; one that is cut off is an
/// error where it ends.
pub fn unpacked(file: File, packing: Packing) -> std::io::Result<Box<dyn Read>> {
    Ok(match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file))),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
    })
}

/// Passes over the mark that some programs write before UTF-8.
pub fn without_mark(mut input: impl Read) -> std::io::Result<impl Read> {
    let mut first = Vec::new();
    (&mut input).take(3).read_to_end(&mut first)?;
    if first == b"\xef\xbb\xbf" {
        first.clear();
    }
    Ok(Cursor::new(first).chain(input))
}
