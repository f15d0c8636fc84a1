//! Slows down whoever guesses passwords.
//!
//! Counted in memory, per name and address together (so nobody locks out somebody else from afar) and per
//! address (so nobody tries one password on everybody). The first few mistakes are free; then each doubles
//! the wait. A restart forgets, which costs a guesser nothing that the hash does not cost anyway.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const FREE_PER_NAME: u32 = 5;
const FREE_PER_ADDRESS: u32 = 50;
const LONGEST: Duration = Duration::from_secs(300);
/// Entries are forgotten this long after the last mistake.
const MEMORY: Duration = Duration::from_secs(900);
/// More than this many: forget the old ones.
const CROWD: usize = 10_000;

/// How long to wait before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

#[derive(Debug, Clone, Copy)]
struct Record {
    mistakes: u32,
    last: Instant,
}

/// What is remembered of mistakes.
#[derive(Debug, Default)]
pub struct Throttle {
    records: Mutex<HashMap<(Option<String>, String), Record>>,
}

impl Throttle {
    /// Whether a try may be made now.
    pub fn check(&self, name: &str, address: &str, now: Instant) -> Result<(), Wait> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = [(Some(name.to_owned()), FREE_PER_NAME), (None, FREE_PER_ADDRESS)];
        for (name, free) in keys {
            let Some(record) = records.get(&(name, address.to_owned())) else { continue };
            let Some(over) = record.mistakes.checked_sub(free) else { continue };
            let wait = Duration::from_secs(1 << over.min(9)).min(LONGEST);
            if let Some(left) = wait.checked_sub(now.saturating_duration_since(record.last))
                && !left.is_zero()
            {
                return Err(Wait(left));
            }
        }
        Ok(())
    }

    /// A try was wrong.
    pub fn mistake(&self, name: &str, address: &str, now: Instant) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() > CROWD {
            records.retain(|_, record| now.saturating_duration_since(record.last) < MEMORY);
        }
        for name in [Some(name.to_owned()), None] {
            let record =
                records.entry((name, address.to_owned())).or_insert(Record { mistakes: 0, last: now });
            if now.saturating_duration_since(record.last) > MEMORY {
                record.mistakes = 0;
            }
            record.mistakes = record.mistakes.saturating_add(1);
            record.last = now;
        }
    }

    /// A try was right: that name's mistakes from there are forgotten.
    pub fn success(&self, name: &str, address: &str) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(&(Some(name.to_owned()), address.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_after_the_free_tries_and_end_by_themselves() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..FREE_PER_NAME {
            assert_eq!(throttle.check("ada", "::1", now), Ok(()));
            throttle.mistake("ada", "::1", now);
        }
        assert_eq!(throttle.check("ada", "::1", now), Err(Wait(Duration::from_secs(1))));
        throttle.mistake("ada", "::1", now);
        assert_eq!(throttle.check("ada", "::1", now), Err(Wait(Duration::from_secs(2))));
        assert_eq!(throttle.check("ada", "::1", now + Duration::from_secs(2)), Ok(()));
        for _ in 0..30 {
            throttle.mistake("ada", "::1", now);
        }
        assert_eq!(throttle.check("ada", "::1", now), Err(Wait(LONGEST)));
        assert_eq!(throttle.check("ada", "10.0.0.1", now), Ok(()), "another address is not locked out");
        throttle.success("ada", "::1");
        assert_eq!(throttle.check("ada", "::1", now), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_everybody() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for n in 0..FREE_PER_ADDRESS {
            throttle.mistake(&format!("user{n}"), "::1", now);
        }
        assert!(throttle.check("somebody-new", "::1", now).is_err());
        assert!(throttle.check("somebody-new", "::2", now).is_ok());
    }
}
