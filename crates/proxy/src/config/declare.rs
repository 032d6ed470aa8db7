//! How a table declares its keys: once, with type, default, range and the sentence that documents it.

use std::collections::BTreeMap;

use super::{key::Chapter, page::Page, scope::Scope};
use crate::settings::Error;

/// A table of the configuration.
pub(super) trait Table: Sized {
    /// Reads the table, refusing what it does not know.
    fn read(scope: &Scope<'_>) -> Result<Self, Error>;

    /// Writes the table as TOML.
    fn show(&self, page: &mut Page<'_>);

    /// Adds the keys of the table at `path` whose changes need a restart, with their values as TOML.
    fn fixed(&self, _path: &str, _fixed: &mut Vec<(String, Option<String>)>) {}

    /// Adds the documentation of the table at `path`.
    fn document(path: &str, chapters: &mut Vec<Chapter>);

    /// Reads the table under `name`, in which nothing is set where there is none.
    fn read_in(outer: &Scope<'_>, name: &str) -> Result<Self, Error> {
        Self::read(&outer.inside(name)?)
    }

    /// Writes the table under `name`, with its heading.
    fn show_in(&self, outer: &mut Page<'_>, name: &str) {
        outer.inside(name, |page| {
            page.heading();
            self.show(page);
        });
    }
}

/// Tables that the operator names: `[path.<any>]`.
impl<T: Table> Table for BTreeMap<String, T> {
    fn read(scope: &Scope<'_>) -> Result<Self, Error> {
        scope.names().map(|name| Ok((name.to_owned(), T::read_in(scope, name)?))).collect()
    }

    fn show(&self, page: &mut Page<'_>) {
        for (name, table) in self {
            table.show_in(page, name);
        }
    }

    /// Without a heading, for there are no keys below it.
    fn show_in(&self, outer: &mut Page<'_>, name: &str) {
        outer.inside(name, |page| self.show(page));
    }

    fn document(path: &str, chapters: &mut Vec<Chapter>) {
        T::document(&format!("{path}.<name>"), chapters);
    }
}

/// Declares a table: a struct with one public field per key, and its [`Table`].
///
/// `key: Type = "default", min "…", max "…";` where default and range are optional and written as in the environment.
/// What stands behind a comma is a function of [`Key`](super::key::Key), with its argument where it has one. Tables below this one follow in `tables { … }`.
/// `check = function` at the end names what looks at the table as a whole, and may put a value right.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident {
            $( $(#[doc = $doc:literal])+ $key:ident : $ty:ty $(= $default:literal)? $(, $limit:ident $($bound:literal)?)* ; )*
        }
        $( tables { $( $(#[doc = $of_table:literal])+ $table:ident : $Table:ty ; )+ } )?
        $( check = $check:expr ; )?
    ) => {
        $(#[doc = $about])+
        pub struct $Section {
            $( $(#[doc = $doc])+ pub $key: $ty, )*
            $( $( $(#[doc = $of_table])+ pub $table: $Table, )+ )?
        }

        /// Each key under its own name.
        #[allow(non_upper_case_globals, reason = "they are named like the fields that they describe")]
        impl $Section {
            $(
                const $key: $crate::config::key::Key =
                    $crate::config::key::Key::of::<$ty>(stringify!($key), concat!($($doc),+))
                        $( .default($default) )? $( .$limit($($bound)?) )*;
            )*
        }

        impl $crate::config::declare::Table for $Section {
            fn read(scope: &$crate::config::scope::Scope<'_>) -> Result<Self, $crate::settings::Error> {
                scope.only(&[$( Self::$key ),*], &[$( $( stringify!($table) ),+ )?])?;
                let section = Self {
                    $( $key: scope.get(&Self::$key)?, )*
                    $( $( $table: $crate::config::declare::Table::read_in(scope, stringify!($table))?, )+ )?
                };
                $( let section = $check(section, scope)?; )?
                Ok(section)
            }

            fn show(&self, page: &mut $crate::config::page::Page<'_>) {
                $( page.key(&Self::$key, &self.$key); )*
                $( $( $crate::config::declare::Table::show_in(&self.$table, page, stringify!($table)); )+ )?
            }

            fn fixed(&self, path: &str, fixed: &mut Vec<(String, Option<String>)>) {
                $( if Self::$key.needs_restart {
                    let value = $crate::config::setting::Setting::show(&self.$key);
                    fixed.push(($crate::config::declare::below(path, stringify!($key)), value));
                } )*
                $( $( $crate::config::declare::Table::fixed(
                    &self.$table, &$crate::config::declare::below(path, stringify!($table)), fixed
                ); )+ )?
            }

            fn document(path: &str, chapters: &mut Vec<$crate::config::key::Chapter>) {
                let (about, keys) = (concat!($($about),+), const { &[$( Self::$key ),*] });
                chapters.push($crate::config::key::Chapter { path: path.to_owned(), kind: None, about, keys });
                $( $( <$Table as $crate::config::declare::Table>::document(
                    &$crate::config::declare::below(path, stringify!($table)), chapters
                ); )+ )?
            }
        }
    };
}

/// The path of a table in the one at `path`, which is empty for the whole file.
pub(super) fn below(path: &str, table: &str) -> String {
    if path.is_empty() { table.to_owned() } else { format!("{path}.{table}") }
}

pub(super) use section;
