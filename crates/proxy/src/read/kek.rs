//! The SSE-S3 key file of the filer, read through the same stages as everything else.

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture};
use http::StatusCode;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    failure,
    source::{Source, length},
};
use crate::{
    Blame, Error, Result,
    entry::EntryPath,
    keys::sse_s3::{KEK_PATH, KekSource},
};

/// The largest key file that is read, in bytes. The longest form is about 200.
const LIMIT: u64 = 16 << 10;

/// Reads the key file from the filer that entries come from at the moment.
pub(crate) struct FilerKek(pub(crate) watch::Receiver<Arc<Source>>);

impl FilerKek {
    async fn contents(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Ok(path) = EntryPath::parse(KEK_PATH) else { return Ok(None) };
        let source = Arc::clone(&self.0.borrow());
        let Some(found) = source.lookup(&path).await? else { return Ok(None) };
        let size = length(&found.entry);
        if size > LIMIT {
            let message = format!("{KEK_PATH} is {size} bytes long, which no SSE-S3 key file is");
            return Err(Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        let mut download = source.plain(&found.entry).await?;
        let mut contents = Zeroizing::new(Vec::with_capacity(size as usize));
        while let Some(bytes) = download.next().await {
            contents.extend_from_slice(&bytes.map_err(|error| failure::to_error(&error))?);
        }
        Ok(Some(contents))
    }
}

impl KekSource for FilerKek {
    fn read(&self) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>>> {
        Box::pin(self.contents())
    }
}
