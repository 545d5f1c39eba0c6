//! Reads files ahead of the writer, in a thread of its own: what unpacks and parses can't wait
//! for anything but the disk. What is between the two is bounded in rows and bytes.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Shared;
use crate::db::files::Listing;
use crate::error::Result;
use crate::value::{Row, Value};

/// Rows that follow each other in the files.
#[derive(Debug, Default)]
pub struct Rows {
    /// Inputs of the mapping.
    pub rows: Vec<Row>,
    /// Bytes of the values.
    pub bytes: u64,
}

/// A running reader; one that is dropped ends at its next row.
pub struct FileAhead {
    pages: mpsc::Receiver<Result<Rows>>,
}

impl FileAhead {
    /// Starts reading after the first `skip` rows, in pages of `most` rows.
    pub fn start(shared: &Arc<Shared>, files: &Arc<Listing>, skip: u64, most: usize) -> FileAhead {
        let (sender, pages) = mpsc::channel(1);
        let (shared, files) = (Arc::clone(shared), Arc::clone(files));
        std::thread::spawn(move || {
            let mut page = Rows::default();
            let read = files.read(skip, &shared.job.mapping, &mut |row| {
                page.bytes += row.iter().map(size).sum::<u64>();
                page.rows.push(row);
                if page.rows.len() < most && page.bytes < shared.room.half() {
                    return !sender.is_closed();
                }
                sender.blocking_send(Ok(std::mem::take(&mut page))).is_ok()
            });
            // Nobody listening means nobody cares.
            let _ = sender.blocking_send(read.map(|()| page));
        });
        FileAhead { pages }
    }

    /// The next rows; `None` when all were read.
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        let page = self.pages.recv().await.transpose()?;
        Ok(page.filter(|page| !page.rows.is_empty()))
    }
}

fn size(value: &Value) -> u64 {
    let length = match value {
        Value::Null => 1,
        Value::Number(text) | Value::Text(text) | Value::Json(text) | Value::Typed(_, text) => {
            text.len()
        }
        Value::Bytes(bytes) => bytes.len(),
        small => small.to_text().map_or(1, |text| text.len()),
    };
    length as u64
}
