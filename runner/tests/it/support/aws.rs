//! A model of Amazon's token service and registry service. It checks signatures by the protocol's description, with code
//! of its own, and refuses whatever was not signed as it must be.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-central-1";
/// Keys of a user.
pub const USER: (&str, &str) = ("AKIDOFUSER", "secret-of-user");
/// Keys of a role's session.
pub const ROLE: (&str, &str, &str) = ("ASIAOFROLE", "secret-of-role", "session-of-role/+=");
/// The token of an identity that may take the role.
pub const IDENTITY: &str = "token-of-an-identity";
/// The password of the registry.
pub const PASSWORD: &str = "password-of-registry";

/// The services, at one address.
pub struct Aws {
    pub url: String,
    /// Forms of the calls that were accepted.
    calls: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Aws {
    pub async fn start() -> Self {
        let calls: Arc<Mutex<Vec<BTreeMap<String, String>>>> = Arc::default();
        let kept = calls.clone();
        let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let kept = kept.clone();
            async move {
                match answer(&method, &uri, &headers, &body, &kept) {
                    Ok(text) => (StatusCode::OK, text),
                    Err((code, message)) => (
                        StatusCode::FORBIDDEN,
                        format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"),
                    ),
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, calls }
    }

    /// The forms of calls of this action.
    pub fn calls(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|form| form.get("Action").is_some_and(|name| name == action)).cloned().collect()
    }
}

type Refusal = (&'static str, String);

fn answer(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    calls: &Mutex<Vec<BTreeMap<String, String>>>,
) -> Result<String, Refusal> {
    if method != Method::POST {
        return Err(("InvalidAction", format!("{method} is not for this")));
    }
    if let Some(target) = headers.get("x-amz-target") {
        let caller = verified(method, uri, headers, body, "ecr")?;
        assert_eq!(target, "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        let asked: Value = serde_json::from_slice(body).unwrap();
        let form = BTreeMap::from([
            ("Action".to_owned(), "GetAuthorizationToken".to_owned()),
            ("caller".to_owned(), caller),
            ("body".to_owned(), asked.to_string()),
        ]);
        calls.lock().unwrap().push(form);
        let ids = asked["registryIds"].as_array().cloned().unwrap_or_else(|| vec![ACCOUNT.into()]);
        let data: Vec<Value> = ids
            .iter()
            .map(|id| {
                json!({
                    "authorizationToken": STANDARD.encode(format!("AWS:{PASSWORD}")),
                    "expiresAt": 1.9e9,
                    "proxyEndpoint": format!("https://{}.dkr.ecr.{REGION}.amazonaws.com", id.as_str().unwrap()),
                })
            })
            .collect();
        return Ok(json!({ "authorizationData": data }).to_string());
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(field("Version"), "2011-06-15");
    let text = match field("Action") {
        "GetCallerIdentity" => {
            let arn = match verified(method, uri, headers, body, "sts")?.as_str() {
                id if id == USER.0 => format!("arn:aws:iam::{ACCOUNT}:user/dev"),
                _ => format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/{}", "session"),
            };
            format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            )
        }
        action @ ("AssumeRole" | "AssumeRoleWithWebIdentity") => {
            if action == "AssumeRole" {
                verified(method, uri, headers, body, "sts")?;
            } else if headers.contains_key("authorization") || !is_known(field("WebIdentityToken")) {
                return Err(("InvalidIdentityToken", "the token is not known".to_owned()));
            }
            if field("RoleArn") != format!("arn:aws:iam::{ACCOUNT}:role/deploy")
                || field("RoleSessionName").is_empty()
            {
                return Err(("AccessDenied", format!("not authorised to perform sts:{action}")));
            }
            format!(
                "<{action}Response><{action}Result><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken></Credentials></{action}Result></{action}Response>",
                ROLE.0, ROLE.1, ROLE.2
            )
        }
        other => return Err(("InvalidAction", format!("`{other}` is no action"))),
    };
    calls.lock().unwrap().push(form);
    Ok(text)
}

/// Whether a token is the one of a file, or one that the model of the server made for Amazon.
fn is_known(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    token == IDENTITY || claims["aud"] == "sts.amazonaws.com"
}

/// The key's id, if the request is signed with what belongs to it.
fn verified(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    service: &str,
) -> Result<String, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = |why: &str| ("SignatureDoesNotMatch", why.to_owned());
    let authorization =
        header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").ok_or(refuse("not signed"))?;
    let part = |name: &str| {
        let mut parts = authorization.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).ok_or(refuse("a part is missing"))
    };
    let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let scope: Vec<&str> = credential.split('/').collect();
    let [id, date, region, of, end] = scope.as_slice() else { return Err(refuse("no scope")) };
    if (*region, *of, *end) != (REGION, service, "aws4_request") {
        return Err(refuse("the scope is of something else"));
    }
    let time = header("x-amz-date");
    if !time.starts_with(date) || time.len() != 16 {
        return Err(refuse("the time is not the scope's"));
    }
    let (secret, session) = match *id {
        id if id == USER.0 => (USER.1, ""),
        id if id == ROLE.0 => (ROLE.1, ROLE.2),
        _ => return Err(("InvalidClientTokenId", "the security token in the request is invalid".to_owned())),
    };
    if header("x-amz-security-token") != session {
        return Err(refuse("the session's token is another"));
    }
    let signed: Vec<&str> = names.split(';').collect();
    for needed in
        ["host", "x-amz-date"].iter().chain((!session.is_empty()).then_some(&"x-amz-security-token"))
    {
        if !signed.contains(needed) {
            return Err(refuse(&format!("{needed} is not signed")));
        }
    }
    let lines: String = signed.iter().map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let path = uri.path();
    let canonical = format!(
        "{method}\n{path}\n{}\n{lines}\n{names}\n{}",
        uri.query().unwrap_or_default(),
        hex::encode(Sha256::digest(body))
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{}",
        hex::encode(Sha256::digest(canonical.as_bytes()))
    );
    let mac = |key: &[u8], data: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(data.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = [*date, *region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    if hex::encode(mac(&key, &text)) != signature {
        return Err(refuse("the signature is another"));
    }
    Ok((*id).to_owned())
}
