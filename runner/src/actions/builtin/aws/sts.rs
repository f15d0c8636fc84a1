//! The security token service: who somebody is, and keys for a role.

use super::{
    super::web::{Trouble, Web, element},
    service::{Keys, Service},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

/// Somebody.
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) arn: String,
}

/// Parameters of a call, in order.
pub(super) type Parameters = Vec<(String, String)>;

/// Calls of the service.
pub(super) struct Sts<'a> {
    pub(super) web: &'a Web,
    pub(super) service: Service,
}

impl Sts<'_> {
    /// Who these keys are.
    pub(super) async fn caller(&self, keys: &Keys) -> Result<Caller, Trouble> {
        let text = self.call("GetCallerIdentity", Some(keys), &Vec::new()).await?;
        let caller = element(&text, "Account")
            .zip(element(&text, "Arn"))
            .map(|(account, arn)| Caller { account: account.to_owned(), arn: arn.to_owned() });
        caller.ok_or_else(|| self.unclear("GetCallerIdentity"))
    }

    /// Keys for a role: `AssumeRole` for whoever has some, `AssumeRoleWithWebIdentity` for whoever has a token.
    pub(super) async fn assume(
        &self,
        action: &str,
        keys: Option<&Keys>,
        parameters: &Parameters,
    ) -> Result<Keys, Trouble> {
        let text = self.call(action, keys, parameters).await?;
        let part = |name: &str| element(&text, name).map(str::to_owned).ok_or_else(|| self.unclear(action));
        Ok(Keys {
            id: part("AccessKeyId")?,
            secret: part("SecretAccessKey")?,
            session: Some(part("SessionToken")?),
        })
    }

    async fn call(
        &self,
        action: &str,
        keys: Option<&Keys>,
        parameters: &Parameters,
    ) -> Result<String, Trouble> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", "2011-06-15")
            .extend_pairs(parameters)
            .finish();
        let answer = self.service.post(self.web, keys, &[FORM], form).await?;
        Ok(answer.text())
    }

    fn unclear(&self, action: &str) -> Trouble {
        Trouble::Away(format!("{} answers {action} with something else", self.service.url))
    }
}
