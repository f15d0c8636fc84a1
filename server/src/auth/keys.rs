//! Random keys: made once, shown once, kept as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A key that was made now.
#[derive(Debug)]
pub struct Fresh {
    /// What its holder keeps.
    pub key: SecretString,
    /// What the database keeps.
    pub hash: [u8; 32],
}

/// Makes a key of 256 random bits, with a prefix that says what it opens.
pub fn fresh(prefix: &str) -> Fresh {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(bytes.as_mut());
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.as_ref()));
    let hash = fingerprint(&text);
    Fresh { key: SecretString::from(text), hash }
}

/// What the database keeps of a key. Plain SHA-256: there is nothing to guess in 256 random bits.
pub fn fingerprint(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn keys_differ_and_are_found_by_their_hash() {
        let (one, two) = (fresh("tg_"), fresh("tg_"));
        assert_ne!(one.hash, two.hash);
        assert!(one.key.expose_secret().starts_with("tg_"));
        assert_eq!(one.key.expose_secret().len(), 3 + 43);
        assert_eq!(fingerprint(one.key.expose_secret()), one.hash);
        assert!(!format!("{one:?}").contains(one.key.expose_secret()));
    }
}
