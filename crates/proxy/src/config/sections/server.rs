//! `[server]`

use std::{net::SocketAddr, time::Duration};

use crate::config::{Error, declare::section, scope::Scope};

section! {
    /// Where tidegate listens, and how it stops.
    pub struct Server {
        /// The filer front: what clients ask instead of the filer. Port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:8880";
        /// `/metrics`, `/healthz` and `/readyz`. Keep it away from clients. Port 0 takes a free one.
        admin: SocketAddr = "127.0.0.1:8881";
        /// After SIGTERM no connection is accepted, and running downloads have this long to finish.
        drain_timeout: Duration = "120s", max "24h";
    }
    check = apart;
}

fn apart(server: Server, scope: &Scope<'_>) -> Result<Server, Error> {
    if server.listen == server.admin && server.listen.port() != 0 {
        return Err(scope.error("admin", format!("{} is server.listen too; choose another port", server.admin)));
    }
    Ok(server)
}
