//! A registry process of Debian's `docker-registry`, with its own storage and, if a test wants them, credentials.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A registry of one test.
pub struct Registry {
    process: Child,
    pub host: String,
    user: Option<(&'static str, &'static str)>,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that wants a name and a password, which is given with its bcrypt hash.
    pub async fn guarded(name: &'static str, password: &'static str, hash: &str) -> Self {
        Self::start_with(Some((name, password, hash))).await
    }

    async fn start_with(user: Option<(&'static str, &'static str, &str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let at = |name: &str| folder.path().join(name);
        let mut config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n",
            at("data").display()
        );
        if let Some((name, _, hash)) = user {
            std::fs::write(at("users"), format!("{name}:{hash}\n")).unwrap();
            config
                .push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at("users").display()));
        }
        std::fs::write(at("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(at("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let user = user.map(|(name, password, _)| (name, password));
        let registry = Self { process, host, user, _folder: folder };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&registry.host).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the registry does not listen");
    }

    /// The status line of a manifest's look-up.
    pub fn manifest(&self, repository: &str, reference: &str) -> String {
        let url = format!("http://{}/v2/{repository}/manifests/{reference}", self.host);
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        self.ask(&["-I", "-H", accept, &url]).lines().next().unwrap_or_default().to_owned()
    }

    /// An index of images.
    pub fn index(&self, repository: &str, reference: &str) -> serde_json::Value {
        let url = format!("http://{}/v2/{repository}/manifests/{reference}", self.host);
        let accept = "Accept: application/vnd.docker.distribution.manifest.list.v2+json";
        serde_json::from_str(&self.ask(&["-H", accept, &url])).unwrap()
    }

    /// The names of a repository's tags.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let list = self.ask(&[&format!("http://{}/v2/{repository}/tags/list", self.host)]);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let tags = list["tags"].as_array().unwrap().iter();
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.arg("-s").args(arguments);
        if let Some((name, password)) = self.user {
            curl.args(["-u", &format!("{name}:{password}")]);
        }
        String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
