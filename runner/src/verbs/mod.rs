//! What the runner does itself: `build`, `push`, `deploy` and `smoke`.
