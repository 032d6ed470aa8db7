//! The fronts, as labels have them.

/// Which listener something came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontLabel {
    /// What clients ask instead of the filer.
    #[default]
    Filer,
    /// What they ask instead of the S3 gateway.
    S3,
}

impl FrontLabel {
    pub(super) const ALL: [Self; 2] = [Self::Filer, Self::S3];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filer => "filer",
            Self::S3 => "s3",
        }
    }
}
