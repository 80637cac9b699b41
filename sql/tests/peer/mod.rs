//! A peer that speaks just enough of the MySQL protocol to play a server's part by script: it answers each statement as
//! told, says nothing, or hangs up. It plays what a real server does only when it is overloaded, partitioned or restarted.

mod packet;
mod script;

use packet::{Packets, binary_rows, error, handshake, ok, prepared, text_rows};
pub use script::{Cell, Say, Script};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// How a result becomes packets: names of its columns, and its rows.
type Encode = fn(&[&str], &[Vec<Cell>]) -> Vec<Vec<u8>>;

/// A statement that the peer was sent, and on which of its connections, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub connection: u32,
    pub statement: String,
}

/// A running peer; it ends with the test's runtime.
pub struct Peer {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Peer {
    /// Plays this script on a port of its own.
    pub async fn start(script: Script) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mysql://root@{}/bank", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::default());
        let (script, all) = (Arc::new(Mutex::new(script)), heard.clone());
        tokio::spawn(async move {
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let connection = Connection { number, script: script.clone(), heard: all.clone() };
                tokio::spawn(connection.run(stream));
            }
        });
        Peer { url, heard }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// All statements so far that contain `text`.
    pub fn heard(&self, text: &str) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.statement.contains(text)).cloned().collect()
    }

    /// The statements of one connection, in order.
    pub fn on_connection(&self, connection: u32) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.connection == connection).map(|heard| heard.statement.clone()).collect()
    }
}

struct Connection {
    number: u32,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Connection {
    /// Until either side hangs up.
    async fn run(self, stream: TcpStream) {
        let mut packets = Packets::new(stream);
        let greeting = handshake(self.number, &self.script.lock().unwrap().version);
        if packets.send(&[greeting]).await.is_none() || packets.read().await.is_none() {
            return;
        }
        packets.send(&[ok(0)]).await;
        let mut statements = HashMap::new();
        while let Some(command) = packets.read().await {
            let (kind, rest) = command.split_first().unwrap();
            let answered = match kind {
                // COM_QUERY
                0x03 => self.answer(&mut packets, &String::from_utf8_lossy(rest), text_rows).await,
                // COM_STMT_PREPARE
                0x16 => {
                    let id = u32::try_from(statements.len()).unwrap() + 1;
                    let text = String::from_utf8_lossy(rest).into_owned();
                    let answer = prepared(id, text.matches('?').count());
                    statements.insert(id, text);
                    packets.send(&answer).await
                }
                // COM_STMT_EXECUTE
                0x17 => {
                    let id = u32::from_le_bytes(rest[..4].try_into().unwrap());
                    self.answer(&mut packets, &statements[&id], binary_rows).await
                }
                // COM_STMT_CLOSE has no answer.
                0x19 => Some(()),
                // COM_QUIT
                0x01 => None,
                _ => packets.send(&[ok(0)]).await,
            };
            if answered.is_none() {
                return;
            }
        }
    }

    async fn answer(&self, packets: &mut Packets, statement: &str, rows: Encode) -> Option<()> {
        self.heard.lock().unwrap().push(Heard { connection: self.number, statement: statement.to_owned() });
        let say = self.script.lock().unwrap().answer_to(statement);
        match say {
            Say::Ok(matched) => packets.send(&[ok(matched)]).await,
            Say::Error(code, state, message) => packets.send(&[error(code, state, message)]).await,
            Say::Rows(columns, cells) => packets.send(&rows(&columns, &cells)).await,
            Say::Nothing => std::future::pending().await,
            Say::Goodbye => None,
        }
    }
}
