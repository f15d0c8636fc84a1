//! `tidegate login` and `logout`: a password once, then a token in a file of the user's alone.

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    api::{Api, stored},
    failure::{Doing, Outcome},
};

/// Log in to a server, and keep a token for it
#[derive(Args)]
pub struct Login {
    /// The server's URL
    #[arg(env = "TIDEGATE_URL", default_value = "http://127.0.0.1:7300")]
    url: Url,
    /// Your user name
    #[arg(long, short)]
    username: Option<String>,
}

#[derive(Deserialize)]
struct NewToken {
    token: String,
}

/// Makes a token for a session. Its name tells where it was made and when.
pub async fn make_token(session: &Api, name: &str) -> Outcome<SecretString> {
    let made: NewToken = session.post("tokens", &json!({"name": name})).await?;
    Ok(made.token.into())
}

impl Login {
    /// Asks, logs in, and stores a token.
    pub async fn run(self) -> Outcome {
        let username = match self.username {
            Some(username) => username,
            None => ask("User name")?,
        };
        let password = super::read_secret("Password")?;
        let session = Api::log_in(self.url.clone(), &username, &password).await?;
        let name = format!("tidegate login {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S"));
        let token = make_token(&session, &name).await?;
        let path = stored::write(&self.url, &token)?;
        anstream::println!("Logged in to {} as {username}; the token is in {}.", self.url, path.display());
        Ok(())
    }
}

/// Forgets the stored log-in. The token itself is revoked with `tidegate tokens revoke`.
pub fn log_out() -> Outcome {
    let words = if stored::forget()? { "The stored log-in is gone." } else { "There was no stored log-in." };
    anstream::println!("{words}");
    Ok(())
}

fn ask(question: &str) -> Outcome<String> {
    use std::io::Write;
    anstream::eprint!("{question}: ");
    std::io::stderr().flush().doing("cannot write to the terminal")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).doing("cannot read from the terminal")?;
    Ok(line.trim().to_owned())
}
