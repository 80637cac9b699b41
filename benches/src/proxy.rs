//! nginx and HAProxy, tuned for failover, in front of two cores over one database.
//!
//! Both cores take reads in turn, so that a retry goes to the other one at once. As a mere backup HAProxy would ask the second
//! one only after its checks had failed, and half of the reads would not be spared the fault. The second one has no fault and is
//! never taken out: a busy machine could make both look dead at once.

use std::fs;
use std::path::Path;
use std::process::Command;

use locum_tests::client::http;
use locum_tests::process::{Process, free_port};
use locum_tests::wait::{PATIENCE, wait_for};

use crate::open::Target;

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Tries the next server after an error or a time-out, and leaves a failed one alone for a second.
    Nginx,
    /// The same by retries of whole requests, beside fast checks that take a server out.
    HaProxy,
}

impl Proxy {
    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, tuned",
            Self::HaProxy => "HAProxy, tuned",
        }
    }

    /// Starts it in this folder and waits until it passes a read of this path on.
    pub async fn start(self, folder: &Path, cores: [&str; 2], path: &str) -> anyhow::Result<(Process, Target)> {
        let address = format!("127.0.0.1:{}", free_port());
        let (text, file) = match self {
            Self::Nginx => (nginx(&address, cores), folder.join("nginx.conf")),
            Self::HaProxy => (haproxy(&address, cores), folder.join("haproxy.cfg")),
        };
        fs::create_dir_all(folder)?;
        fs::write(&file, text)?;
        let command = match self {
            Self::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-e", "stderr"]);
                command
            }
            Self::HaProxy => {
                let mut command = Command::new("haproxy");
                command.args(["-db", "-f"]).arg(&file);
                command
            }
        };
        let mut process = Process::start(self.as_str(), command, &file.with_extension("log"));
        let mut client = http(&*address, None);
        wait_for(&format!("{} answers", self.as_str()), PATIENCE, async || {
            assert!(process.ended().is_none(), "{}", process.last_words());
            match client.get(path).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status, answer.body)),
                Err(err) => Err(err),
            }
        })
        .await;
        Ok((process, Target { name: self.as_str(), address, token: None, read: ("/api/accounts/", ""), writes: false }))
    }
}

/// 100 ms is what a healthy core on a busy machine stays below. A shorter time-out would make errors without a fault.
fn nginx(address: &str, [first, second]: [&str; 2]) -> String {
    format!(
        "daemon off;
worker_processes 2;
pid nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000;
    upstream cores {{
        server {first} max_fails=1 fail_timeout=1s;
        server {second} max_fails=0;
        keepalive 256;
        keepalive_requests 1000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{
            proxy_pass http://cores;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_connect_timeout 100ms;
            proxy_send_timeout 100ms;
            proxy_read_timeout 100ms;
            proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
            proxy_next_upstream_tries 2;
        }}
    }}
}}
"
    )
}

/// The same time-outs.
fn haproxy(address: &str, [first, second]: [&str; 2]) -> String {
    format!(
        "global
    maxconn 8192
defaults
    mode http
    option http-keep-alive
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    timeout connect 100ms
    timeout server 100ms
    timeout check 100ms
    timeout queue 1s
    timeout client 60s
frontend channels
    bind {address} backlog 4096
    default_backend cores
backend cores
    balance roundrobin
    http-reuse always
    option httpchk GET /health
    server first {first} check inter 100ms fall 2 rise 3 observe layer7 error-limit 3 on-error mark-down on-marked-down shutdown-sessions
    server second {second}
"
    )
}
