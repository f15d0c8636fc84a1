//! Who calls: people by password, session or token, runners by key.
//!
//! Keys and tokens are random and long, so their SHA-256 is what the database keeps and finds them by.
//! Passwords are short, so theirs is argon2id.

mod keys;
mod login;
mod passwords;
mod throttle;

pub use keys::{Fresh, fingerprint, fresh};
pub use login::{Me, SESSION_LIFETIME, Session, change_password, log_in, log_out, of_session, of_token};
pub use passwords::{MIN_PASSWORD, hash as hash_password};
pub use throttle::{Throttle, Wait};
