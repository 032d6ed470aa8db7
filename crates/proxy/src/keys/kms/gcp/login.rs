//! Who we are at Google: a service account's key, signed for and exchanged at its token endpoint, or the machine's own
//! account by the metadata server.
//!
//! Knows service accounts and their signed requests (<https://developers.google.com/identity/protocols/oauth2/service-account>).
//! Must not know what tokens are used for.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::SigningKey,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    super::{
        Failure, KmsError,
        address::{base_address, broken},
        bearer::{self, TokenGrant},
        http::HttpClient,
        rest::{FORM, Form},
        secret::Secret,
    },
    settings::Login,
};
use crate::Result;

const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// How long a signed request is good for, in seconds; the most that Google takes.
const LIFETIME: u64 = 3600;

pub(super) struct GoogleLogin {
    who: Identity,
    http: HttpClient,
}

enum Identity {
    Account(Box<Account>),
    Machine(Uri),
}

struct Account {
    email: String,
    key_id: String,
    key: Arc<dyn SigningKey>,
    token_uri: Uri,
}

#[derive(Deserialize)]
struct KeyFile<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(borrow)]
    private_key: Option<Secret<'a>>,
    #[serde(default = "google")]
    token_uri: String,
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

impl GoogleLogin {
    pub(super) fn new(name: &str, login: Login, http: HttpClient) -> Result<Self> {
        let who = match login {
            Login::ServiceAccount(json) => Identity::Account(Box::new(Account::read(name, &json)?)),
            Login::Metadata(address) => Identity::Machine(base_address(name, "metadata_endpoint", &address)?),
        };
        Ok(Self { who, http })
    }

    async fn fetch(&self) -> Result<TokenGrant, KmsError> {
        let answer = match &self.who {
            Identity::Account(account) => {
                let assertion = account.assertion()?;
                let body = Form::new().with("grant_type", GRANT).with("assertion", &assertion).body();
                self.http.ask(Method::POST, &account.token_uri, "", FORM, None, body).await?
            }
            Identity::Machine(address) => {
                let given = ("metadata-flavor", "Google");
                self.http.ask(Method::GET, address, METADATA_PATH, given, None, Bytes::new()).await?
            }
        };
        bearer::granted(&answer)
    }
}

impl bearer::Login for GoogleLogin {
    fn login(&self) -> BoxFuture<'_, Result<TokenGrant, KmsError>> {
        Box::pin(self.fetch())
    }
}

impl Account {
    fn read(name: &str, json: &str) -> Result<Self> {
        let at = |what: &str| broken(format!("kms.providers.{name}: the credentials {what}"));
        // serde's messages quote what they did not expect, so none of them is passed on.
        let file: KeyFile<'_> = serde_json::from_str(json).map_err(|_| at("are not the JSON of a service account"))?;
        if file.kind != "service_account" {
            return Err(at(&format!("are of type {:?}; only a service_account can be used", file.kind)));
        }
        if file.client_email.is_empty() {
            return Err(at("have no client_email"));
        }
        let pem = file.private_key.ok_or_else(|| at("have no private_key"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_str().as_bytes())
            .ok()
            .and_then(|der| any_supported_type(&der).ok())
            .filter(|key| key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_some())
            .ok_or_else(|| at("have a private_key that is no RSA key in PEM"))?;
        let token_uri = base_address(name, "credentials: token_uri", &file.token_uri)?;
        Ok(Self { email: file.client_email, key_id: file.private_key_id, key, token_uri })
    }

    /// A request for a token, signed.
    fn assertion(&self) -> Result<Zeroizing<String>, KmsError> {
        let unsigned = || KmsError::new(Failure::BadCredentials, "the request for a token could not be signed");
        let encoded = |part: serde_json::Result<Vec<u8>>| {
            part.map(|json| BASE64_URL_SAFE_NO_PAD.encode(json))
                .map_err(|_| KmsError::new(Failure::BadCredentials, "they do not fit into a request"))
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let head = encoded(serde_json::to_vec(&Head { alg: "RS256", typ: "JWT", kid: &self.key_id }))?;
        let audience = self.token_uri.to_string();
        let claims = Claims { iss: &self.email, scope: SCOPE, aud: &audience, iat: now, exp: now + LIFETIME };
        let signed = format!("{head}.{}", encoded(serde_json::to_vec(&claims))?);
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(unsigned)?;
        let signature = signer.sign(signed.as_bytes()).map_err(|_| unsigned())?;
        Ok(Zeroizing::new(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[derive(Serialize)]
struct Head<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}
