//! What the key ring tells whoever counts: outcomes of KMS requests and of cache look-ups.
//!
//! Knows the closed sets of outcomes. Must not know how they are counted; nothing here names a key, a path or a user.

/// How one request to a KMS ended. Every try counts, retries included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KmsOutcome {
    /// It gave the data key.
    Ok,
    /// It refused: no permission, our credentials not accepted, key disabled or about to be deleted.
    Denied,
    /// It does not know the key.
    NotFound,
    /// It asked to be left alone for a while.
    Throttled,
    /// It could not be reached in time, or failed on its side.
    Unreachable,
    /// Ciphertext, context or key id do not fit, or its answer makes no sense.
    Invalid,
}

impl KmsOutcome {
    /// All outcomes, for registering their series up front.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Denied, Self::NotFound, Self::Throttled, Self::Unreachable, Self::Invalid];

    /// The label: `ok`, `denied`, `not_found`, `throttled`, `unreachable`, `invalid`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Invalid => "invalid",
        }
    }
}

/// How one look-up in a cache ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// The value was there, or another request was fetching it already.
    Hit,
    /// This request had to fetch it.
    Miss,
    /// A failure of a moment ago was answered again.
    Failure,
}

impl CacheOutcome {
    /// All outcomes, for registering their series up front.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Failure];

    /// The label: `hit`, `miss`, `failure`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Failure => "failure",
        }
    }
}

/// The name of the data key cache in [`Hooks::on_cache`].
pub const DATA_KEYS: &str = "data_keys";

/// Where outcomes are counted. Called on the request's path: count and return.
pub trait Hooks: Send + Sync {
    /// One request to the KMS provider of this configured name has ended.
    fn on_kms_request(&self, provider: &str, outcome: KmsOutcome);

    /// One look-up in the cache of this name ([`DATA_KEYS`]) has ended.
    fn on_cache(&self, cache: &'static str, outcome: CacheOutcome);
}

/// Counts nothing.
impl Hooks for () {
    fn on_kms_request(&self, _provider: &str, _outcome: KmsOutcome) {}

    fn on_cache(&self, _cache: &'static str, _outcome: CacheOutcome) {}
}
