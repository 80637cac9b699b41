//! The few packets of the MySQL protocol that the peer reads and writes.

use super::Cell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Column types.
const INTEGER: u8 = 0x08;
const TEXT: u8 = 0xfd;
/// utf8mb4_bin, and raw bytes for integers.
const UTF8: u16 = 46;
const BINARY: u16 = 63;
const AUTOCOMMIT: [u8; 2] = [2, 0];

/// A connection that keeps count of packets, as the protocol wants it.
pub struct Packets {
    stream: TcpStream,
    next: u8,
}

impl Packets {
    pub fn new(stream: TcpStream) -> Self {
        Packets { stream, next: 0 }
    }

    pub async fn read(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.ok()?;
        self.next = head[3].wrapping_add(1);
        let mut body = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    pub async fn send(&mut self, packets: &[Vec<u8>]) -> Option<()> {
        let mut bytes = Vec::new();
        for packet in packets {
            bytes.extend(&u32::try_from(packet.len()).unwrap().to_le_bytes()[..3]);
            bytes.push(self.next);
            bytes.extend(packet);
            self.next = self.next.wrapping_add(1);
        }
        self.stream.write_all(&bytes).await.ok()
    }
}

/// Protocol 10, no compression, no TLS, results end with EOF packets.
pub fn handshake(connection: u32, version: &str) -> Vec<u8> {
    // Long password, found rows, with database, protocol 41, transactions, secure connection; multi statements and results,
    // plugin authentication.
    const CAPABILITIES: [u16; 2] =
        [0x0001 | 0x0002 | 0x0008 | 0x0200 | 0x2000 | 0x8000, 0x0001 | 0x0002 | 0x0004 | 0x0008];
    let mut packet = vec![10];
    packet.extend(version.as_bytes());
    packet.push(0);
    packet.extend(connection.to_le_bytes());
    packet.extend(b"12345678\0");
    packet.extend(CAPABILITIES[0].to_le_bytes());
    packet.push(45);
    packet.extend(AUTOCOMMIT);
    packet.extend(CAPABILITIES[1].to_le_bytes());
    packet.push(21);
    packet.extend([0; 10]);
    packet.extend(b"123456789012\0mysql_native_password\0");
    packet
}

pub fn ok(matched: u64) -> Vec<u8> {
    let mut packet = vec![0];
    packet.extend(length(usize::try_from(matched).unwrap()));
    packet.push(0);
    packet.extend(AUTOCOMMIT);
    packet.extend([0, 0]);
    packet
}

pub fn error(code: u16, state: &str, message: &str) -> Vec<u8> {
    let mut packet = vec![0xff];
    packet.extend(code.to_le_bytes());
    packet.push(b'#');
    packet.extend(state.as_bytes());
    packet.extend(message.as_bytes());
    packet
}

fn eof() -> Vec<u8> {
    vec![0xfe, 0, 0, AUTOCOMMIT[0], AUTOCOMMIT[1]]
}

/// A statement is ready; what columns it has is told when it runs.
pub fn prepared(id: u32, parameters: usize) -> Vec<Vec<u8>> {
    let mut packet = vec![0];
    packet.extend(id.to_le_bytes());
    packet.extend([0, 0]);
    packet.extend(u16::try_from(parameters).unwrap().to_le_bytes());
    packet.extend([0, 0, 0]);
    let mut packets = vec![packet];
    if parameters > 0 {
        packets.extend(vec![column("?", TEXT); parameters]);
        packets.push(eof());
    }
    packets
}

pub fn text_rows(names: &[&str], rows: &[Vec<Cell>]) -> Vec<Vec<u8>> {
    result(names, rows, |row| row.iter().flat_map(|cell| text(&cell_text(cell))).collect())
}

pub fn binary_rows(names: &[&str], rows: &[Vec<Cell>]) -> Vec<Vec<u8>> {
    result(names, rows, |row| {
        let mut packet = vec![0; 1 + (row.len() + 9) / 8];
        for cell in row {
            match cell {
                Cell::Int(value) => packet.extend(value.to_le_bytes()),
                Cell::Text(value) => packet.extend(text(value)),
            }
        }
        packet
    })
}

fn result(names: &[&str], rows: &[Vec<Cell>], encode: impl Fn(&[Cell]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let kind = |n: usize| match rows.first().map(|row| &row[n]) {
        Some(Cell::Int(_)) => INTEGER,
        _ => TEXT,
    };
    let mut packets = vec![length(names.len())];
    packets.extend(names.iter().enumerate().map(|(n, name)| column(name, kind(n))));
    packets.push(eof());
    packets.extend(rows.iter().map(|row| encode(row)));
    packets.push(eof());
    packets
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Int(value) => value.to_string(),
        Cell::Text(value) => (*value).to_owned(),
    }
}

fn column(name: &str, kind: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    for field in ["def", "", "", "", name, name] {
        packet.extend(text(field));
    }
    packet.push(0x0c);
    packet.extend(if kind == INTEGER { BINARY } else { UTF8 }.to_le_bytes());
    packet.extend(1_024_u32.to_le_bytes());
    packet.push(kind);
    packet.extend([0; 5]);
    packet
}

fn text(value: &str) -> Vec<u8> {
    let mut field = length(value.len());
    field.extend(value.as_bytes());
    field
}

/// A length-encoded integer; the peer never needs more than two bytes of it.
fn length(value: usize) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(small @ ..=250) => vec![small],
        _ => {
            let [low, high] = u16::try_from(value).unwrap().to_le_bytes();
            vec![0xfc, low, high]
        }
    }
}
