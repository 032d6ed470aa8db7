//! How a section declares its keys: once, with type, default, range and the sentence that documents it.

use figment::value::{Dict, Value};

use super::{
    option::{Chapter, Opt, Setting},
    page::Page,
    scope::Scope,
};
use crate::settings::Error;

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
            pub(in crate::config) const OPTIONS: &'static [$crate::config::option::Opt] = &[
                $( $crate::config::declare::opt!($key, $ty, concat!($($doc),+), [$($default)?], [$($min)?], [$($max)?]), )*
            ];
        }

        impl $crate::config::declare::Section for $Section {
            fn read(scope: &$crate::config::scope::Scope<'_>) -> Result<Self, $crate::settings::Error> {
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
                $( page.line(stringify!($key), $crate::config::option::Setting::show(&self.$key)); )*
                $( for (name, table) in &self.$tables {
                    page.table(&[stringify!($tables), name], |page| $crate::config::declare::Section::show(table, page));
                } )*
            }

            fn document(path: &str, chapters: &mut Vec<$crate::config::option::Chapter>) {
                chapters.push($crate::config::option::Chapter {
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
        $crate::config::option::Opt {
            key: stringify!($key),
            about: $doc,
            expects: <$ty as $crate::config::option::Setting>::EXPECTS,
            default: $crate::config::declare::maybe!($($default)?),
            default_toml: || {
                let default: Option<&str> = $crate::config::declare::maybe!($($default)?);
                let value = <$ty as $crate::config::option::Setting>::parse(default?).ok()?;
                $crate::config::option::Setting::show(&value)
            },
            min: $crate::config::declare::maybe!($($min)?),
            max: $crate::config::declare::maybe!($($max)?),
            secret: <$ty as $crate::config::option::Setting>::SECRET,
            optional: <$ty as $crate::config::option::Setting>::OPTIONAL,
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
