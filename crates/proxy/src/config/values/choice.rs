//! Keys that take one of a few words.

/// Declares an enum whose values are words: `Variant = "word"` each, with the doc line of the variant.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $Choice:ident { $( $(#[doc = $doc:literal])+ $Variant:ident = $word:literal, )+ }
        expects $expects:literal
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Choice {
            $( $(#[doc = $doc])+ $Variant, )+
        }

        impl $Choice {
            /// The word that stands for it in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $word, )+ }
            }
        }

        impl $crate::config::setting::Setting for $Choice {
            const EXPECTS: &'static str = $expects;

            fn parse(text: &str) -> Result<Self, $crate::config::setting::InvalidValue> {
                match text {
                    $( $word => Ok(Self::$Variant), )+
                    _ => Err($crate::config::setting::InvalidValue::type_or_form()),
                }
            }

            fn show(&self) -> Option<String> {
                Some(format!("\"{}\"", self.as_str()))
            }
        }
    };
}

pub(in crate::config) use choice;
