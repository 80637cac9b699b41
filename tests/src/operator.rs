//! What an operator does to one `locum` process.

use std::process::Command;

use http::Method;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::locum::{Locum, OPERATOR};
use crate::process::binary;
use crate::wait::{PATIENCE, wait_for};

impl Locum {
    /// One request to the operators' listener that must succeed.
    pub async fn operate(&self, method: Method, path: &str, body: Option<&Json>) -> Json {
        let answer = self.admin().request(method, path, &[], body).await;
        let answer = answer.unwrap_or_else(|err| panic!("{path}: {err}"));
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        self.metrics_now().await.unwrap_or_else(|err| panic!("/metrics: {err}"))
    }

    /// Over a plain connection: the client for our listeners reads JSON only.
    async fn metrics_now(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).await?;
        let head = "GET /metrics HTTP/1.1\r\nhost: locum\r\nconnection: close\r\nauthorization: Bearer";
        stream.write_all(format!("{head} {OPERATOR}\r\n\r\n").as_bytes()).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        if said.starts_with("HTTP/1.1 200 ") { Ok(said) } else { Err(std::io::Error::other(said)) }
    }

    /// Runs `locum ARGUMENTS`; `Err` is what it said when it failed.
    pub async fn command(&self, arguments: &[&str]) -> Result<String, String> {
        self.command_of(OPERATOR, arguments).await
    }

    /// Runs `locum ARGUMENTS --json` with this operator's token; `Err` is what it said when it failed.
    pub async fn order_of(&self, operator: &str, arguments: &[&str]) -> Result<Json, String> {
        let said = self.command_of(operator, &[arguments, &["--json"]].concat()).await?;
        serde_json::from_str(&said).map_err(|err| format!("{err}: {said}"))
    }

    async fn command_of(&self, operator: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binary("locum", "LOCUM_BIN"));
        command.args(arguments).env("LOCUM_TOKEN_FILE", self.folder.join(format!("{operator}.token")));
        command.env("LOCUM_ADMIN", format!("http://127.0.0.1:{}", self.admin));
        let output = tokio::task::block_in_place(|| command.output());
        let output = output.unwrap_or_else(|err| panic!("locum {arguments:?}: {err}"));
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// What is known of its one source; null before it is led for the first time.
    pub async fn source(&self) -> Json {
        let mut told = self.operate(Method::GET, "/admin/v1/sources", None).await;
        told.pointer_mut("/sources/0").map(Json::take).unwrap_or_default()
    }

    /// Waits until the source is halted, and answers with the reason.
    pub async fn halted(&self) -> String {
        wait_for("the source halts", PATIENCE, async || {
            let source = self.source().await;
            source["halted"].as_str().map(str::to_owned).ok_or(source)
        })
        .await
    }

    /// Fills a new generation from the topics of a connector that was registered for it, as the runbook says, and waits until
    /// it is served.
    pub async fn rebuild(&self, topic_prefix: &str, reason: &str) {
        let generation = self.source().await["generation"].clone();
        let order = ["source", "rebuild", "corebank", "--topic-prefix", topic_prefix, "--reason", reason];
        self.command(&order).await.unwrap_or_else(|said| panic!("{order:?}: {said}"));
        wait_for("the new generation is served", PATIENCE, async || {
            let source = self.source().await;
            let served = source["generation"] != generation && source["rebuilding"].is_null();
            if served && source["halted"].is_null() && source["loaded"] == true { Ok(()) } else { Err(source) }
        })
        .await;
    }
}
