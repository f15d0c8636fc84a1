//! Locks that outlive a panic of another thread: what they guard here stays consistent after one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not another holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
