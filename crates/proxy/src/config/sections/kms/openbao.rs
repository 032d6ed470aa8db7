//! `[kms.providers.<name>]` of type `openbao` or `vault`: the keys of SeaweedFS's `weed/kms/openbao` @4.48, and a few of ours.

use super::url;
use crate::{
    config::{Secret, scope::Scope},
    settings::Error,
};

provider! {
    /// OpenBao, or HashiCorp Vault (`type = "vault"`). Set either `token`, or `role_id` and `secret_id`.
    pub struct OpenBao {
        /// The URL of the service.
        address: String = "http://localhost:8200";
        /// A token. It is used as it is: whoever made it renews it.
        token: Option<Secret>;
        /// The role id for a login with AppRole. The token that comes of it is renewed in time, and replaced when it cannot be.
        role_id: Option<Secret>;
        /// The secret id for a login with AppRole.
        secret_id: Option<Secret>;
        /// Where the AppRole method is mounted. Ours; the gateway knows only the default.
        approle_path: String = "auth/approle";
        /// Where the transit engine is mounted.
        transit_path: String = "transit";
        /// The gateway's switch for not checking the service's certificate. Only `false` is accepted: data keys come over that
        /// connection. Name the authority in `ca_cert` instead.
        tls_skip_verify: bool = "false";
        /// A PEM file of the authorities that the service's certificate is checked by, instead of the system's.
        ca_cert: Option<String>;
        /// A PEM file with the certificate to show; it goes with `client_key`.
        client_cert: Option<String>;
        /// A PEM file with the key of `client_cert`.
        client_key: Option<String>;
        /// How often a failed request is tried again. Ours, under the name that it has with AWS.
        max_retries: u32 = "3", max "100";
    }
    check = complete;
}

fn complete(mut bao: OpenBao, scope: &Scope<'_>) -> Result<OpenBao, Error> {
    match (&bao.token, &bao.role_id, &bao.secret_id) {
        (Some(_), None, None) | (None, Some(_), Some(_)) => {}
        (None, None, None) => return Err(scope.error("token", "must be set, or else role_id and secret_id")),
        (Some(_), ..) => {
            return Err(scope.error("token", "is set, and role_id or secret_id too; keep one way to log in"));
        }
        (None, Some(_), None) => return Err(scope.error("secret_id", "must be set, because role_id is")),
        (None, None, Some(_)) => return Err(scope.error("role_id", "must be set, because secret_id is")),
    }
    // It goes into a header, which no line break in its middle may, nor what an editor puts in front of a text.
    if bao.token.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(scope.error("token", "has a character that no token has; set the token alone, on one line"));
    }
    match (&bao.client_cert, &bao.client_key) {
        (Some(_), None) => return Err(scope.error("client_key", "must be set, because client_cert is")),
        (None, Some(_)) => return Err(scope.error("client_cert", "must be set, because client_key is")),
        _ => {}
    }
    if bao.tls_skip_verify {
        let instead = "true is not supported: data keys come over that connection; name the authority in ca_cert";
        return Err(scope.error("tls_skip_verify", instead));
    }
    if bao.address.is_empty() {
        bao.address = "http://localhost:8200".to_owned();
    }
    url(scope, "address", &bao.address)?;
    if bao.transit_path.is_empty() {
        bao.transit_path = "transit".to_owned();
    }
    bao.request_timeout.zero_counts_as(30);
    Ok(bao)
}
