//! What a key is: its name, default, range, and the sentence that documents it.

use std::cmp::Ordering;

use super::setting::Setting;

/// A declared key. What its type brings is in it, the type itself is not, so that keys of all types stand in one list.
#[derive(Clone, Copy)]
pub struct Key {
    pub(super) name: &'static str,
    /// What it means: the declaration's doc lines, in Markdown.
    pub about: &'static str,
    pub(super) expects: &'static str,
    pub(super) secret: bool,
    /// Whether it may be absent without a default.
    pub(super) optional: bool,
    /// As the environment writes it.
    pub(super) default: Option<&'static str>,
    /// Whether a change of it counts from the next start on only. All others count when the configuration is read again.
    pub(super) needs_restart: bool,
    min: Option<&'static str>,
    max: Option<&'static str>,
    to_toml: fn(&str) -> Option<String>,
}

impl Key {
    /// A key of type `T` that must be set, unless `T` says what holds without it.
    pub(super) const fn of<T: Setting>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            expects: T::EXPECTS,
            secret: T::SECRET,
            optional: T::OPTIONAL,
            default: None,
            needs_restart: false,
            min: None,
            max: None,
            to_toml: |text| T::parse(text).ok()?.show(),
        }
    }

    /// What holds where nobody sets it.
    pub(super) const fn default(self, text: &'static str) -> Self {
        Self { default: Some(text), ..self }
    }

    /// The least value that is accepted.
    pub(super) const fn min(self, text: &'static str) -> Self {
        Self { min: Some(text), ..self }
    }

    /// The greatest value that is accepted.
    pub(super) const fn max(self, text: &'static str) -> Self {
        Self { max: Some(text), ..self }
    }

    /// A change of it counts from the next start on only.
    pub(super) const fn restart(self) -> Self {
        Self { needs_restart: true, ..self }
    }

    /// The default as TOML.
    pub(super) fn default_toml(&self) -> Option<String> {
        (self.to_toml)(self.default?)
    }

    /// The range in words, or nothing.
    pub(super) fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::new(),
        }
    }

    /// Whether `value`, of the key's own type, is in the range. A bound that cannot be read lets nothing pass.
    pub(super) fn admits<T: Setting>(&self, value: &T) -> bool {
        let kept = |bound: Option<&str>, broken: Ordering| match bound.map(T::parse) {
            None => true,
            Some(bound) => bound.ok().and_then(|bound| value.order(&bound)).is_some_and(|order| order != broken),
        };
        kept(self.min, Ordering::Less) && kept(self.max, Ordering::Greater)
    }
}

/// A table of the documentation with the keys in it.
pub struct Chapter {
    /// Where the table stands, such as `kms.buckets.<name>`.
    pub path: String,
    /// The `type` of such a table, where there are several.
    pub kind: Option<&'static str>,
    /// What the table is for, in Markdown.
    pub about: &'static str,
    /// What can be set in it.
    pub keys: &'static [Key],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_admits_its_bounds_and_what_lies_between() {
        let key = Key::of::<u32>("k", "").min("2").max("4");
        assert_eq!([1, 2, 3, 4, 5].map(|n: u32| key.admits(&n)), [false, true, true, true, false]);
        assert!(Key::of::<u32>("k", "").admits(&0));
    }

    #[test]
    fn a_range_that_cannot_be_held_lets_nothing_pass() {
        assert!(!Key::of::<u32>("k", "").min("two").admits(&2));
        assert!(!Key::of::<String>("k", "").max("z").admits(&"a".to_owned()));
    }
}
