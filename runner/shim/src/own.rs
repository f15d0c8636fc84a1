//! Hands a folder over to a user of the image: the runner writes a stage's files as somebody else, and steps that are
//! not root could change none of them.
//!
//! It runs as root in a container of its own that sees the folder and nothing else, so a link that somebody swaps in
//! meanwhile leads nowhere.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

/// The largest file of users that is read.
const LARGEST: u64 = 4 << 20;

/// Gives everything in the folder that is not the user's to it. `user` is `name`, `id`, `name:group` or `id:id`, as
/// the engine has it. What is the user's already stays as it is.
pub fn own(user: &str, folder: &Path) -> Result<(), String> {
    let (uid, gid) = resolve(user, &read("/etc/passwd"), &read("/etc/group"))?;
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let says = |error: std::io::Error| format!("{}: {error}", path.display());
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        if data.uid() != uid {
            lchown(&path, Some(uid), Some(gid)).map_err(says)?;
            if data.is_dir() {
                // The runner goes on to write there, as another user than root it may be.
                let mode = data.permissions().mode() | 0o777;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(says)?;
            }
        }
        if data.is_dir() {
            // What vanishes meanwhile need not be handed over.
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

fn read(path: &str) -> String {
    let fits = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= LARGEST);
    if fits { fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

/// The ids of a user and its group. A number need not be in the image's files; without one there its group is 0.
fn resolve(user: &str, passwd: &str, group: &str) -> Result<(u32, u32), String> {
    let (user, group_asked) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let lines = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let field = |line: &[String], at: usize| line.get(at).and_then(|text| text.parse::<u32>().ok());
    let users = lines(passwd);
    let number = user.parse::<u32>().ok();
    let entry = users.iter().find(|line| {
        line.first().is_some_and(|name| name == user) || number.is_some() && field(line, 2) == number
    });
    let uid = entry.and_then(|line| field(line, 2)).or(number);
    let uid = uid.ok_or_else(|| format!("the image has no user `{user}`"))?;
    let gid = match group_asked.filter(|group| !group.is_empty()) {
        None => entry.and_then(|line| field(line, 3)).unwrap_or(0),
        Some(asked) => {
            let groups = lines(group);
            let named = groups.iter().find(|line| line.first().is_some_and(|name| name == asked));
            let gid = named.and_then(|line| field(line, 2)).or_else(|| asked.parse().ok());
            gid.ok_or_else(|| format!("the image has no group `{asked}`"))?
        }
    };
    Ok((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\nbroken\n7:x:8:9::/:\n";
        let group = "root:x:0:\nnode:x:1001:\ndocker:x:99:node\n";
        let of = |user: &str| resolve(user, passwd, group);
        assert_eq!(of("node"), Ok((1000, 1001)));
        assert_eq!(of("1000"), Ok((1000, 1001)));
        assert_eq!(of("node:docker"), Ok((1000, 99)));
        assert_eq!(of("node:"), Ok((1000, 1001)));
        assert_eq!(of("1234"), Ok((1234, 0)));
        assert_eq!(of("1234:55"), Ok((1234, 55)));
        // A name comes before a number, as it does in the engine.
        assert_eq!(of("7"), Ok((8, 9)));
        assert!(of("nobody").unwrap_err().contains("no user `nobody`"));
        assert!(of("node:nobody").unwrap_err().contains("no group `nobody`"));
        assert!(resolve("", passwd, group).is_err());
    }
}
