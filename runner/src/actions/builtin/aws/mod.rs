//! Amazon's own actions: credentials for later steps, and logins of its registries. Requests are signed with
//! `aws-sigv4`; where AWS is comes from the step's environment, as for Amazon's own programs.

mod configure;
mod ecr;
mod service;
mod sts;

pub use configure::Configure;
pub use ecr::EcrLogin;
