//! A server that counts what it is sent, and takes all of it. It looks no further than it must to count, since it shares the
//! machine with what is measured.

use super::this_program;
use crate::commands::{Outcome, output};
use anyhow::Context;
use prost::encoding::{WireType, decode_key, decode_varint};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The hidden command: says where it listens, and how many samples came when its standard input ends.
pub(super) fn command() -> anyhow::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    output::write_json(&mut output::stdout(), &listener.local_addr()?.port())?;
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = counted.clone();
            std::thread::spawn(move || serve(&stream, &count));
        }
    });
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    output::write_json(&mut output::stdout(), &count.load(Ordering::Relaxed))?;
    Ok(Outcome::Done)
}

/// Answers what comes over a connection until it ends.
fn serve(stream: &TcpStream, count: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::with_capacity(1 << 18, stream), stream);
    let mut body = Vec::new();
    loop {
        let (mut length, mut is_v2) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            is_v2 |= line.contains("io.prometheus.write.v2");
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        let message = snap::raw::Decoder::new().decompress_vec(&body);
        let samples = series_count(&message.unwrap_or_default(), if is_v2 { 5 } else { 1 });
        count.fetch_add(samples, Ordering::Relaxed);
        write!(
            writer,
            "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: {samples}\r\n\r\n"
        )?;
    }
}

/// How many fields of that number are in a message: its series, each of which has one sample.
fn series_count(mut message: &[u8], number: u32) -> u64 {
    let mut count = 0;
    while let Ok((field, WireType::LengthDelimited)) = decode_key(&mut message) {
        let length = decode_varint(&mut message).ok();
        let Some(rest) = length.and_then(|length| message.get(length as usize..)) else {
            break;
        };
        count += u64::from(field == number);
        message = rest;
    }
    count
}

/// A process that counts.
pub(super) struct Receiver {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    pub(super) url: String,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut command = this_program()?;
        command.arg("bench-receiver");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.context("cannot start a receiver")?;
        let stdout = child.stdout.take().context("the receiver has no output")?;
        let mut stdout = BufReader::new(stdout);
        let mut port = String::new();
        stdout.read_line(&mut port)?;
        Ok(Self {
            child,
            stdout,
            url: format!("http://127.0.0.1:{}/api/v1/write", port.trim()),
        })
    }

    /// How many samples it has had.
    pub(super) fn end(mut self) -> anyhow::Result<u64> {
        drop(self.child.stdin.take());
        let mut count = String::new();
        self.stdout.read_line(&mut count)?;
        Ok(count.trim().parse()?)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
