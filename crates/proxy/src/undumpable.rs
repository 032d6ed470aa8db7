//! Keeps the process's memory, which holds data keys, out of core files and other processes' reach.
//!
//! Knows two switches of the kernel. Must not know what is in the memory.

/// No core file, whatever the limits and `kernel.core_pattern` say, and no `ptrace` or `/proc/<pid>/mem` for processes of
/// the same user. Call it before the first secret is read. Elsewhere than on Linux there is only the limit on core files.
///
/// # Errors
/// When the kernel refuses, which no kernel has a reason to.
pub fn make_undumpable() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A pipe in `kernel.core_pattern` gets its dump past the limit, but not past this. A sandbox that forbids setting limits
    // (systemd's, with `~@resources`) has set this one itself.
    #[cfg(target_os = "linux")]
    let limited =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map(|()| limited.ok());
    limited?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_says_so() {
        use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

        make_undumpable().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
