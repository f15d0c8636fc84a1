//! Releases at the forge, by an API like GitHub's at `GITHUB_API_URL`: `actions/create-release` and
//! `softprops/action-gh-release`.

mod api;
mod create;
mod gh_release;
mod upload;

pub use create::CreateRelease;
pub use gh_release::GhRelease;
