//! The little HTTP that a stand-in for a core needs, and the faults that a test orders of it.
//!
//! `PUT /stand-in/faults/NAME` puts a fault in force, `POST /stand-in/kill` ends the process; both work under every fault.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Where orders to the stand-in itself begin.
const ORDERS: &str = "/stand-in/";
/// Status of a process that was told to die, as a shell reports one ended by SIGKILL.
const KILLED: i32 = 137;

/// A core's side of HTTP.
pub trait Core: Send + Sync + 'static {
    /// Answers a request; what it has posted is committed by then.
    fn answer(&self, request: &Request) -> impl Future<Output = Answer> + Send;
}

/// A request, whole.
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// Everything that posts, and nothing else, is a POST in these cores.
    fn is_posting(&self) -> bool {
        self.method == "POST"
    }
}

/// An answer in JSON.
pub struct Answer {
    pub status: u16,
    pub header: Option<(&'static str, &'static str)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: &Json) -> Self {
        Self { status, header: None, body: body.to_string() }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let Self { status, body, .. } = self;
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n{header}");
        format!("{head}Content-Type: application/json\r\n\r\n{body}").into_bytes()
    }
}

/// What goes wrong. Each variant says what the caller sees and what the core did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// Any request is read and never answered; nothing is done.
    Hang,
    /// A posting is posted and never answered.
    HangPosts,
    /// A posting is posted, then the connection is reset.
    DropAfterCommit,
    /// A posting is answered with 500; nothing is done.
    ErrorBefore,
}

impl Fault {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "hang" => Self::Hang,
            "hang_posts" => Self::HangPosts,
            "drop_after_commit" => Self::DropAfterCommit,
            "error_before" => Self::ErrorBefore,
            _ => return None,
        })
    }
}

/// Serves a core until the process ends.
pub async fn serve(listener: TcpListener, core: impl Core) {
    let (core, fault) = (Arc::new(core), Arc::new(Mutex::new(Fault::None)));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&core), Arc::clone(&fault)));
            }
            Err(err) => {
                eprintln!("accept: {err}");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// One request after the other. A caller that goes away does not stop what it has asked for.
async fn connection<C: Core>(stream: TcpStream, core: Arc<C>, fault: Arc<Mutex<Fault>>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = read(&mut stream).await {
        let Some(answer) = answer(&request, &*core, &fault).await else {
            // The caller sees a reset connection.
            let _ = stream.into_inner().set_zero_linger();
            return;
        };
        if stream.write_all(&answer.bytes()).await.is_err() {
            return;
        }
    }
}

/// None where the connection is to be reset.
async fn answer<C: Core>(request: &Request, core: &C, fault: &Mutex<Fault>) -> Option<Answer> {
    if let Some(order) = request.path.strip_prefix(ORDERS) {
        return Some(ordered(order, fault));
    }
    let fault = *fault.lock().unwrap_or_else(PoisonError::into_inner);
    let posting = request.is_posting();
    match fault {
        Fault::Hang => std::future::pending().await,
        Fault::ErrorBefore if posting => return Some(Answer::json(500, &json!({"error": "on purpose"}))),
        _ => {}
    }
    let answer = core.answer(request).await;
    match fault {
        Fault::HangPosts if posting => std::future::pending().await,
        Fault::DropAfterCommit if posting => None,
        _ => Some(answer),
    }
}

fn ordered(order: &str, fault: &Mutex<Fault>) -> Answer {
    if order == "kill" {
        std::process::exit(KILLED);
    }
    match order.strip_prefix("faults/").and_then(Fault::named) {
        Some(named) => {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = named;
            Answer::json(200, &json!({"fault": format!("{named:?}")}))
        }
        None => Answer::json(404, &json!({"error": "no such order"})),
    }
}

/// Reads a request; none where the caller has closed the connection between two.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut first = String::new();
    if stream.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { method, path, headers, body }))
}
