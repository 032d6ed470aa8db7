//! Whether a bucket has a policy now, asked of the filer for every read and once for many that come at a time.
//!
//! Knows how long a question may wait for others to share it. Must not know what a policy says.

use std::{sync::Arc, time::Duration};

use super::{object, target::Target};
use crate::{questions::Questions, read::Stages};

/// The questions about policies, by bucket.
pub(crate) struct Policies(Questions<bool>);

/// So long a question waits for more to share it. Less than a busy gateway takes for its decision, which is waited for meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

impl Default for Policies {
    fn default() -> Self {
        Self(Questions::new(PAUSE))
    }
}

impl Policies {
    /// Whether the bucket of the target has a policy, by what the filer says at some time after this call.
    pub(super) async fn has_one_now(&self, stages: &Arc<Stages>, target: &Target) -> bool {
        let (stages, wanted) = (Arc::clone(stages), target.clone());
        self.0.after_now(&target.bucket, || async move { object::has_policy_now(&stages, &wanted).await }).await
    }
}
