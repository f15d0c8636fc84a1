//! `aws-actions/configure-aws-credentials`: keys for later steps, given as they are, or those of a role that they or an
//! identity token may take.

use async_trait::async_trait;

use super::{
    super::{
        Builtin, Use,
        web::{Trouble, Web},
    },
    service::{Keys, Service, variable},
    sts::{Caller, Parameters, Sts},
};
use crate::{
    stage::{Failure, ResultsError},
    toolkit::id_token,
};

/// What has no effect here.
const NOTED: [&str; 5] = [
    "http-proxy",
    "special-characters-workaround",
    "use-existing-credentials",
    "retry-max-attempts",
    "no-proxy",
];
/// A token of an identity is at most this long.
const LONGEST_TOKEN: u64 = 64 << 10;

/// The action.
pub struct Configure;

#[async_trait]
impl Builtin for Configure {
    fn name(&self) -> &'static str {
        "aws-actions/configure-aws-credentials"
    }

    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("aws-region", ""),
            ("role-to-assume", ""),
            ("aws-access-key-id", ""),
            ("aws-secret-access-key", ""),
            ("aws-session-token", ""),
            ("web-identity-token-file", ""),
            ("role-chaining", "false"),
            ("audience", "sts.amazonaws.com"),
            ("http-proxy", ""),
            ("no-proxy", ""),
            ("mask-aws-account-id", "false"),
            ("role-duration-seconds", "3600"),
            ("role-external-id", ""),
            ("role-session-name", "GitHubActions"),
            ("role-skip-session-tagging", "false"),
            ("transitive-tag-keys", ""),
            ("inline-session-policy", ""),
            ("managed-session-policies", ""),
            ("output-credentials", "false"),
            ("output-env-credentials", "true"),
            ("unset-current-credentials", "false"),
            ("allowed-account-ids", ""),
            ("disable-retry", "false"),
            ("retry-max-attempts", ""),
            ("special-characters-workaround", ""),
            ("use-existing-credentials", ""),
        ]
    }

    fn hidden(&self) -> &'static [&'static str] {
        &["aws-access-key-id", "aws-secret-access-key", "aws-session-token"]
    }

    async fn main(&self, step: &mut Use<'_>) -> Result<(), Failure> {
        let region = step.required("aws-region")?.to_owned();
        let web = Web::of(step)?;
        let sts = Sts { web: &web, service: Service::of(step, "sts", "sts", &region)? };
        for name in NOTED {
            if !matches!(step.input(name), "" | "false") {
                step.say(format!("`{name}` is left out of account"));
            }
        }
        let role = step.input("role-to-assume").to_owned();
        let given = given(step)?;
        let keys = match role.as_str() {
            "" => given.or_else(|| Keys::of_env(step)).ok_or_else(|| {
                Failure::failed(
                    "there are no credentials: give `aws-access-key-id` and `aws-secret-access-key`, or \
                     `role-to-assume`",
                )
            })?,
            role => assume(step, &sts, role, given).await?,
        };
        for value in [Some(&keys.id), Some(&keys.secret), keys.session.as_ref()].into_iter().flatten() {
            step.hide(value);
        }
        let caller = match sts.caller(&keys).await {
            Ok(caller) => Some(caller),
            Err(Trouble::Refused(_, reason)) => {
                return Err(Failure::failed(format!("AWS does not accept the credentials: {reason}")));
            }
            Err(Trouble::Away(reason)) => {
                step.warn(format!("whose credentials these are is not known: {reason}"));
                None
            }
        };
        check_account(step, caller.as_ref())?;
        if let Some(caller) = caller {
            if step.flag("mask-aws-account-id")? {
                step.hide(&caller.account);
            }
            step.say(format!("authenticated as {}", caller.arn));
            step.set_output("aws-account-id", caller.account);
            step.set_output("authenticated-arn", caller.arn);
        }
        leave(step, &region, keys)
    }
}

/// The keys that the inputs give.
fn given(step: &Use<'_>) -> Result<Option<Keys>, Failure> {
    let (id, secret) = (step.input("aws-access-key-id"), step.input("aws-secret-access-key"));
    if id.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    if id.is_empty() || secret.is_empty() {
        return Err(Failure::failed("`aws-access-key-id` and `aws-secret-access-key` are given together"));
    }
    let session = Some(step.input("aws-session-token").to_owned()).filter(|token| !token.is_empty());
    Ok(Some(Keys { id: id.to_owned(), secret: secret.to_owned(), session }))
}

/// Keys for a role.
async fn assume(step: &mut Use<'_>, sts: &Sts<'_>, role: &str, given: Option<Keys>) -> Result<Keys, Failure> {
    let chaining = step.flag("role-chaining")?;
    let file = step.input("web-identity-token-file").to_owned();
    let source = given.or_else(|| if chaining { Keys::of_env(step) } else { None });
    if chaining && source.is_none() {
        return Err(Failure::failed(
            "`role-chaining` goes on from the credentials of a step before, and there are none in the environment",
        ));
    }
    let token = match (&file, &source) {
        (file, _) if !file.is_empty() => {
            let token = step.read_file(file, LONGEST_TOKEN)?.trim().to_owned();
            step.hide(&token);
            Some(token)
        }
        (_, None) => Some(identity_token(step).await?),
        _ => None,
    };
    let role = whole_name(sts, role, source.as_ref()).await?;
    let mut parameters = parameters(step, &role)?;
    step.say(format!("asking {} for {role}", sts.service.url));
    let keys = match token {
        Some(token) => {
            parameters.push(("WebIdentityToken".to_owned(), token));
            sts.assume("AssumeRoleWithWebIdentity", None, &parameters).await
        }
        None => {
            let external = step.input("role-external-id").to_owned();
            if !external.is_empty() {
                parameters.push(("ExternalId".to_owned(), external));
            }
            if !step.flag("role-skip-session-tagging")? {
                parameters.extend(tags(step));
            }
            sts.assume("AssumeRole", source.as_ref(), &parameters).await
        }
    };
    keys.map_err(|trouble| {
        let failure = Failure::from(trouble);
        Failure { reason: format!("the role {role} cannot be taken: {}", failure.reason), ..failure }
    })
}

/// A token of the server's that says what this stage is. Logs hide it.
async fn identity_token(step: &Use<'_>) -> Result<String, Failure> {
    let audience = Some(step.input("audience")).filter(|audience| !audience.is_empty());
    id_token(step.ctx, audience).await.map_err(|error| {
        let reason = format!(
            "`role-to-assume` without keys goes by an identity token, and there is none: {error}; or give \
             `aws-access-key-id` and `aws-secret-access-key`, or a token in `web-identity-token-file`"
        );
        match error {
            ResultsError::Invalid(_) | ResultsError::NotFound(_) => Failure::failed(reason),
            _ => Failure::infrastructure(reason),
        }
    })
}

/// A role's name as AWS wants it. Without an account it is of the one of the keys.
async fn whole_name(sts: &Sts<'_>, role: &str, keys: Option<&Keys>) -> Result<String, Failure> {
    if role.starts_with("arn:aws") {
        return Ok(role.to_owned());
    }
    let Some(keys) = keys else {
        return Err(Failure::failed(format!(
            "the role `{role}` is named in full (`arn:aws:iam::<account>:role/{role}`) where an identity token asks for it"
        )));
    };
    let caller = sts.caller(keys).await?;
    let partition =
        caller.arn.split(':').nth(1).filter(|name| name.starts_with("aws")).unwrap_or("aws").to_owned();
    Ok(format!("arn:{partition}:iam::{}:role/{role}", caller.account))
}

/// What both ways to a role say.
fn parameters(step: &Use<'_>, role: &str) -> Result<Parameters, Failure> {
    let seconds = step.input("role-duration-seconds");
    if !seconds.parse::<u32>().is_ok_and(|seconds| (900..=43_200).contains(&seconds)) {
        return Err(Failure::failed(format!(
            "the input `role-duration-seconds` is a number from 900 to 43200, and this is `{seconds}`"
        )));
    }
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![
        pair("RoleArn", role),
        pair("RoleSessionName", step.input("role-session-name")),
        pair("DurationSeconds", seconds),
    ];
    if !step.input("inline-session-policy").is_empty() {
        all.push(pair("Policy", step.input("inline-session-policy")));
    }
    for (at, arn) in step.lines("managed-session-policies").iter().enumerate() {
        all.push((format!("PolicyArns.member.{}.arn", at + 1), arn.clone()));
    }
    Ok(all)
}

/// What the role's session is tagged with.
fn tags(step: &Use<'_>) -> Parameters {
    let branch = step.github("ref_name").to_owned();
    let tags = [
        ("GitHub", "Actions".to_owned()),
        ("Repository", step.github("repository").to_owned()),
        ("Workflow", step.github("workflow").to_owned()),
        ("Action", step.github("action").to_owned()),
        ("Actor", step.github("actor").to_owned()),
        ("Commit", step.github("sha").to_owned()),
        ("Branch", branch),
    ];
    let mut all = Vec::new();
    for (at, (key, value)) in tags.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        all.push((format!("Tags.member.{}.Key", at + 1), (*key).to_owned()));
        all.push((format!("Tags.member.{}.Value", at + 1), tag_value(value)));
    }
    for (at, key) in step.lines("transitive-tag-keys").iter().enumerate() {
        all.push((format!("TransitiveTagKeys.member.{}", at + 1), key.clone()));
    }
    all
}

/// A text as a tag's value may be: others than its characters are `_`.
fn tag_value(text: &str) -> String {
    let may = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().take(256).map(|c| if may(c) { c } else { '_' }).collect()
}

/// Refuses an account that the step does not expect.
fn check_account(step: &Use<'_>, caller: Option<&Caller>) -> Result<(), Failure> {
    let allowed: Vec<String> = step
        .input("allowed-account-ids")
        .split([',', '\n'])
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .collect();
    match caller {
        _ if allowed.is_empty() => Ok(()),
        Some(caller) if allowed.contains(&caller.account) => Ok(()),
        Some(caller) => Err(Failure::failed(format!(
            "the credentials are of the account {}, and `allowed-account-ids` has {}",
            caller.account,
            allowed.join(", ")
        ))),
        None => Err(Failure::failed(
            "whose account it is cannot be asked, and `allowed-account-ids` wants to know",
        )),
    }
}

/// Hands the keys on.
fn leave(step: &mut Use<'_>, region: &str, keys: Keys) -> Result<(), Failure> {
    let clear = step.flag("unset-current-credentials")?;
    if step.flag("output-env-credentials")? {
        step.export("AWS_REGION", region);
        step.export("AWS_DEFAULT_REGION", region);
        step.export("AWS_ACCESS_KEY_ID", &*keys.id);
        step.export("AWS_SECRET_ACCESS_KEY", &*keys.secret);
        // The token of keys from before does not fit these.
        let before = variable(step, "AWS_SESSION_TOKEN").is_some();
        if keys.session.is_some() || before || clear {
            step.export("AWS_SESSION_TOKEN", keys.session.clone().unwrap_or_default());
        }
    }
    if step.flag("output-credentials")? {
        step.set_output("aws-access-key-id", keys.id);
        step.set_output("aws-secret-access-key", keys.secret);
        step.set_output("aws-session-token", keys.session.unwrap_or_default());
    }
    step.say(format!("the region is {region}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_only_the_characters_that_they_may() {
        assert_eq!(tag_value("renovate[bot] é/x@1"), "renovate_bot_ é/x@1");
        assert_eq!(tag_value(&"x".repeat(999)).len(), 256);
    }
}
