//! How a section declares its keys: once, with type, default, range and the sentence that documents it.

use figment::value::{Dict, Value};

use super::{Error, page::Page, scope::Scope};

/// A type that a key can have. Text is always accepted, because the environment knows nothing else; a type may accept
/// TOML's own booleans, numbers and lists besides.
pub(super) trait Setting: Sized {
    /// What is accepted, as it follows "expected" in an error and stands in the documentation.
    const EXPECTS: &'static str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;
    /// Whether the key may be absent without a default.
    const OPTIONAL: bool = false;

    /// Reads the text form.
    fn parse(text: &str) -> Result<Self, Invalid>;

    /// The value as TOML, to be read back by this type; `None` where nothing is set.
    fn show(&self) -> Option<String>;

    /// Reads a value of the merged configuration.
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        value.as_str().ok_or(Invalid::type_or_form()).and_then(Self::parse)
    }

    /// What holds when the key is absent and has no default; `None`: it must be set.
    fn absent() -> Option<Self> {
        None
    }
}

/// A key that may be left out. Empty text counts as left out: the S3 gateway's own configuration writes it so.
impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const SECRET: bool = T::SECRET;
    const OPTIONAL: bool = true;

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn from_value(value: &Value) -> Result<Self, Invalid> {
        if value.as_str() == Some("") { Ok(None) } else { T::from_value(value).map(Some) }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Why a value was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(Option<String>);

impl Invalid {
    /// Not what is expected; there is no more to say.
    pub(super) fn type_or_form() -> Self {
        Self(None)
    }

    /// Nearly what is expected, and `why` it is not.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self(Some(why.into()))
    }

    /// The error's sentence.
    pub(super) fn sentence(&self, expects: &str, found: &str) -> String {
        match &self.0 {
            Some(why) => format!("expected {expects}, got {found}: {why}"),
            None => format!("expected {expects}, got {found}"),
        }
    }
}

/// A declared key, without its type.
pub(super) struct Opt {
    pub(super) key: &'static str,
    /// The declaration's doc lines.
    pub(super) about: &'static str,
    pub(super) expects: &'static str,
    pub(super) default: Option<&'static str>,
    /// The default as TOML.
    pub(super) default_toml: fn() -> Option<String>,
    pub(super) min: Option<&'static str>,
    pub(super) max: Option<&'static str>,
    pub(super) secret: bool,
    /// Whether it may be absent without a default.
    pub(super) optional: bool,
}

impl Opt {
    /// The range in words, or nothing.
    pub(super) fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::new(),
        }
    }
}

/// A heading of the documentation with the keys below it.
pub(super) struct Chapter {
    pub(super) heading: String,
    pub(super) about: &'static str,
    pub(super) options: &'static [Opt],
}

/// A table of the configuration.
pub(super) trait Section: Sized {
    /// Reads the table, refusing what it does not know.
    fn read(scope: &Scope<'_>) -> Result<Self, Error>;
    /// The defaults of this table and of the named tables that `present` has.
    fn defaults(present: &Dict) -> Dict;
    /// Writes the table as TOML.
    fn show(&self, page: &mut Page<'_>);
    /// Adds the documentation of the table at `path`.
    fn document(path: &str, chapters: &mut Vec<Chapter>);
}

/// What gives the defaults of a table, knowing what is set in it.
pub(super) type Defaults = fn(&Dict) -> Dict;

/// The defaults of `options`, as the text that they are declared with, and of the named tables that `present` has.
pub(super) fn defaults_of(options: &[Opt], tables: &[(&str, Defaults)], present: &Dict) -> Dict {
    let own = options.iter().filter_map(|o| Some((o.key.to_owned(), Value::from(o.default?))));
    let below = tables.iter().filter_map(|(key, defaults)| {
        let named = present.get(*key)?.as_dict()?.iter();
        let inner = named.filter_map(|(name, table)| Some((name.clone(), defaults(table.as_dict()?).into())));
        Some(((*key).to_owned(), Value::from(inner.collect::<Dict>())))
    });
    own.chain(below).collect()
}

/// Whether `value` reaches a declared bound. A bound that cannot be read lets nothing pass, the default neither.
pub(super) fn at_least<T: Setting + PartialOrd>(value: &T, least: &str) -> bool {
    T::parse(least).is_ok_and(|least| *value >= least)
}

/// Whether `value` stays within a declared bound; see [`at_least`].
pub(super) fn at_most<T: Setting + PartialOrd>(value: &T, most: &str) -> bool {
    T::parse(most).is_ok_and(|most| *value <= most)
}

/// Declares a section: a struct with one public field per key, and its [`Section`].
///
/// `key: Type = "default", min "…", max "…";` where default and range are optional and written as in the
/// environment. `name: tables of Type;` declares named tables (`[section.name.<any>]`). `check = function` at the end
/// names what looks at the section as a whole.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $ty:ty $(= $default:literal)? $(, min $min:literal)? $(, max $max:literal)? ; )*
        }
        $( $(#[doc = $tdoc:literal])+ $tables:ident : tables of $Table:ty ; )*
        $( check = $check:expr ; )?
    ) => {
        $(#[doc = $about])+
        pub struct $Section {
            $( $(#[doc = $doc])+ pub $key: $ty, )*
            $( $(#[doc = $tdoc])+ pub $tables: std::collections::BTreeMap<String, $Table>, )*
        }

        impl $Section {
            pub(in crate::config) const OPTIONS: &'static [$crate::config::declare::Opt] = &[
                $( $crate::config::declare::opt!($key, $ty, concat!($($doc),+), [$($default)?], [$($min)?], [$($max)?]), )*
            ];
        }

        impl $crate::config::declare::Section for $Section {
            fn read(scope: &$crate::config::scope::Scope<'_>) -> Result<Self, $crate::config::Error> {
                scope.only(Self::OPTIONS, &[$( stringify!($tables) ),*])?;
                let section = Self {
                    $( $key: {
                        let option = $crate::config::declare::opt!(
                            $key, $ty, concat!($($doc),+), [$($default)?], [$($min)?], [$($max)?]
                        );
                        let value: $ty = scope.get(&option)?;
                        $( if !$crate::config::declare::at_least(&value, $min) { return Err(scope.outside(&option)); } )?
                        $( if !$crate::config::declare::at_most(&value, $max) { return Err(scope.outside(&option)); } )?
                        value
                    }, )*
                    $( $tables: match scope.table(stringify!($tables))? {
                        None => Default::default(),
                        Some(outer) => outer
                            .tables()
                            .map(|table| table.and_then(|(name, inner)| Ok((name, $crate::config::declare::Section::read(&inner)?))))
                            .collect::<Result<_, _>>()?,
                    }, )*
                };
                $( let section = $check(section, scope)?; )?
                Ok(section)
            }

            fn defaults(present: &figment::value::Dict) -> figment::value::Dict {
                let tables: &[(&str, $crate::config::declare::Defaults)] =
                    &[$( (stringify!($tables), <$Table as $crate::config::declare::Section>::defaults) ),*];
                $crate::config::declare::defaults_of(Self::OPTIONS, tables, present)
            }

            fn show(&self, page: &mut $crate::config::page::Page<'_>) {
                $( page.line(stringify!($key), $crate::config::declare::Setting::show(&self.$key)); )*
                $( for (name, table) in &self.$tables {
                    page.table(&[stringify!($tables), name], table);
                } )*
            }

            fn document(path: &str, chapters: &mut Vec<$crate::config::declare::Chapter>) {
                chapters.push($crate::config::declare::Chapter {
                    heading: format!("`[{path}]`"),
                    about: concat!($($about),+),
                    options: Self::OPTIONS,
                });
                $( <$Table as $crate::config::declare::Section>::document(
                    &format!("{path}.{}.<name>", stringify!($tables)), chapters
                ); )*
            }
        }
    };
}

/// One [`Opt`] of a declaration.
macro_rules! opt {
    ($key:ident, $ty:ty, $doc:expr, [$($default:literal)?], [$($min:literal)?], [$($max:literal)?]) => {
        $crate::config::declare::Opt {
            key: stringify!($key),
            about: $doc,
            expects: <$ty as $crate::config::declare::Setting>::EXPECTS,
            default: $crate::config::declare::maybe!($($default)?),
            default_toml: || {
                let default: Option<&str> = $crate::config::declare::maybe!($($default)?);
                let value = <$ty as $crate::config::declare::Setting>::parse(default?).ok()?;
                $crate::config::declare::Setting::show(&value)
            },
            min: $crate::config::declare::maybe!($($min)?),
            max: $crate::config::declare::maybe!($($max)?),
            secret: <$ty as $crate::config::declare::Setting>::SECRET,
            optional: <$ty as $crate::config::declare::Setting>::OPTIONAL,
        }
    };
}

macro_rules! maybe {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

pub(super) use {maybe, opt, section};
