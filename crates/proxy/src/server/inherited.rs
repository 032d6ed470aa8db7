//! Sockets that the service manager listens on and passes to us, so that nobody is refused while the daemon restarts.
//!
//! Knows the `sd_listen_fds` protocol: descriptors from 3 on, and their names. Must not know what is served on them.

#![allow(unsafe_code, reason = "a descriptor that was passed is a number until somebody owns it")]

use std::{
    collections::BTreeMap,
    env,
    net::TcpListener,
    os::fd::{FromRawFd as _, OwnedFd},
    sync::{Mutex, PoisonError},
};

use socket2::Socket;

use crate::settings::Error;

/// What a socket may be for.
const NAMES: [&str; 3] = ["front", "s3", "admin"];

/// The sockets by name. They are there once: whoever takes them has them.
#[derive(Default)]
pub struct InheritedSockets(BTreeMap<String, Vec<TcpListener>>);

/// Whether they were taken over, so that no descriptor is owned twice.
static TAKEN: Mutex<bool> = Mutex::new(false);

impl InheritedSockets {
    /// Those that were passed to this process, the first time; none later.
    ///
    /// # Errors
    /// When one has no name of `NAMES`, or is no listening TCP socket: it says which.
    pub fn take() -> Result<Self, Error> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *taken, true) || env::var_os("LISTEN_FDS").is_none() {
            return Ok(Self::default());
        }
        let passed = sd_notify::listen_fds_with_names().map_err(|error| at("LISTEN_FDS", &error))?;
        let mut sockets = BTreeMap::<_, Vec<_>>::new();
        for (number, name) in passed {
            // SAFETY: the service manager passed it to this very process, as LISTEN_PID says, and it is taken once.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            let socket = Socket::from(descriptor);
            if !NAMES.contains(&name.as_str()) {
                let known = NAMES.join(", ");
                let said = format!(
                    "no listener is called {name:?}; call the socket one of {known}, by FileDescriptorName= in its unit"
                );
                return Err(Error::at("LISTEN_FDNAMES", said));
            }
            let listens = socket.is_listener().unwrap_or(false)
                && socket.local_addr().is_ok_and(|address| address.as_socket().is_some());
            if !listens {
                let said = "no TCP socket that listens; give ListenStream= in its unit an address and a port";
                return Err(Error::of("LISTEN_FDS", name, said));
            }
            socket.set_nonblocking(true).map_err(|error| at("LISTEN_FDS", &error))?;
            sockets.entry(name).or_default().push(socket.into());
        }
        Ok(Self(sockets))
    }

    /// Those of this name. They are there once.
    pub fn named(&mut self, name: &str) -> Vec<TcpListener> {
        self.0.remove(name).unwrap_or_default()
    }
}

fn at(variable: &str, error: &std::io::Error) -> Error {
    Error::at(variable, error.to_string())
}
