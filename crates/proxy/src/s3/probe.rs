//! What a gateway's answer to a stranger tells of how it reads hosts.
//!
//! Knows the error document of S3. A request that nobody signed, for a bucket that nobody has, is refused in words that name
//! the bucket and the key as the gateway has read them (seen on 4.48): whether it takes a host for a bucket, it says itself.

use super::target::Host;

/// The path of a request for what nobody has.
pub(super) struct Probe {
    name: String,
}

impl Probe {
    /// A probe under the name `unique`, which a bucket could have.
    pub(super) fn new(unique: u64) -> Self {
        Self { name: format!("tidegate-probe-{unique:016x}") }
    }

    pub(super) fn path(&self) -> String {
        format!("/{}/key", self.name)
    }

    /// Whether the document, which answers a request for [`Probe::path`], names the bucket and the key as that reading of its
    /// host has them.
    pub(super) fn confirms(&self, reading: &Host, document: &str) -> bool {
        let (bucket, key) = match reading {
            Host::PathStyle => (self.name.as_str(), "key"),
            Host::Bucket(bucket) => (bucket.as_str(), &self.path()[1..]),
        };
        document.contains("<Error>")
            && only(document, "BucketName") == Some(bucket)
            && only(document, "Key") == Some(key)
    }
}

/// The text of the element that stands there once. `None`: it does not.
fn only<'d>(document: &'d str, name: &str) -> Option<&'d str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = document.split_once(&open)?;
    let (text, after) = rest.split_once(&close)?;
    (!after.contains(&open)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(bucket: &str, key: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message><Resource>/a/b</Resource><RequestId>18</RequestId><Key>{key}</Key><BucketName>{bucket}</BucketName></Error>"
        )
    }

    const NAME: &str = "tidegate-probe-0000000000000007";

    #[test]
    fn a_gateway_confirms_how_it_reads_a_host_by_naming_the_bucket() {
        let probe = Probe::new(7);
        assert_eq!(probe.path(), format!("/{NAME}/key"));
        assert!(probe.confirms(&Host::PathStyle, &document(NAME, "key")));
        assert!(probe.confirms(&Host::Bucket("bucket".into()), &document("bucket", &format!("{NAME}/key"))));
    }

    #[test]
    fn whatever_else_it_answers_confirms_nothing() {
        let probe = Probe::new(7);
        let whole = format!("{NAME}/key");
        for document in [
            document("bucket.s3", &whole),
            document("bucket", "key"),
            document("tidegate-probe-0000000000000008", "key"),
            document(NAME, &whole),
            String::new(),
            format!("<Error><BucketName>{NAME}</BucketName></Error>"),
            format!("<BucketName>{NAME}</BucketName><Key>key</Key>"),
            document(&format!("x</BucketName><BucketName>{NAME}"), "key"),
        ] {
            assert!(!probe.confirms(&Host::PathStyle, &document), "{document}");
            assert!(!probe.confirms(&Host::Bucket("bucket".into()), &document), "{document}");
        }
    }
}
