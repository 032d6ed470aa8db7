//! The configuration as a whole: what is accepted, what each mistake says, what is printed.

mod accepts;
mod prints;
mod refuses;
mod unusable;

use super::CheckedConfig;
use crate::settings::{Environment, Error, scratch::Scratch};

/// Where the files of a configuration are.
struct Place(Scratch);

impl Place {
    fn new() -> Self {
        Self(Scratch::new())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Loads `text` as `t.toml` under `variables`, in which `@` stands for the directory.
    fn load(&self, text: &str, variables: &[(&str, &str)]) -> Result<CheckedConfig, Error> {
        self.write("t.toml", text);
        let here = self.0.display().to_string();
        let variables = variables.iter().map(|(name, value)| (*name, value.replace('@', &here)));
        CheckedConfig::read(Some(&self.0.join("t.toml")), &Environment::new(variables).unwrap())
    }

    /// The error's line, with `@` for the directory.
    fn error(&self, text: &str, variables: &[(&str, &str)]) -> String {
        let error = self.load(text, variables).err().expect("the configuration is wrong");
        error.to_string().replace(&self.0.display().to_string(), "@")
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> CheckedConfig {
    Place::new().load(text, variables).unwrap_or_else(|error| panic!("{error}"))
}
