//! One connection of a client: requests in, answers out, as HTTP/1.1 has it.

use super::Shared;
use super::answer::Answer;
use super::head::Request;
use super::journal::Pending;
use rustls::{ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often a waiting thread looks whether the receiver has stopped or its client has gone.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a request waits for another with the same series before it counts as a second at the same time: the client
/// of the first may have gone, unnoticed so far.
const SECOND_AFTER: Duration = Duration::from_millis(500);

/// Largest head that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Plain or encrypted.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    /// Whether the client has closed, or sent what only a closing client sends while it waits for an answer.
    fn is_gone(&self) -> bool {
        let looked = self.tcp().peek(&mut [0]);
        !looked.is_err_and(|error| is_timeout(&error))
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Until the client goes, an answer ends the connection, or the receiver stops.
pub(super) fn serve(tcp: TcpStream, shared: &Shared) {
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    if tcp.set_read_timeout(Some(LOOK_EVERY)).is_err() || tcp.set_nodelay(true).is_err() {
        return;
    }
    let mut stream = match &shared.tls {
        None => Stream::Plain(tcp),
        Some(config) => match ServerConnection::new(config.clone()) {
            Ok(tls) => Stream::Tls(Box::new(StreamOwned::new(tls, tcp))),
            Err(_) => return,
        },
    };
    while let Ok(Some(request)) = read_request(&mut stream, shared, connection) {
        if !answer(&mut stream, shared, request) {
            break;
        }
    }
    let _ = stream.tcp().shutdown(Shutdown::Both);
}

/// `None` if the client went between two requests.
fn read_request(stream: &mut Stream, shared: &Shared, connection: usize) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read_more(stream, shared, &mut bytes)? == 0 {
            return Ok(None);
        }
        // Such as the first of TLS to a server that has none.
        if !bytes[0].is_ascii_uppercase() {
            stream
                .io()
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|header| header.0 == "content-length");
    let length: usize = length.and_then(|header| header.1.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_len);
    while body.len() < length {
        if read_more(stream, shared, &mut body)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body,
        arrived: Instant::now(),
        connection,
    }))
}

fn read_more(stream: &mut Stream, shared: &Shared, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.io().read(&mut buffer) {
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                return Ok(count);
            }
            Err(error) if is_timeout(&error) && !shared.stopping.load(Ordering::Relaxed) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the connection goes on.
fn answer(stream: &mut Stream, shared: &Shared, request: Request) -> bool {
    let arrived = request.arrived;
    let (pending, answer) = shared.journal().arrive(request);
    shared.changed.notify_all();
    wait_for_others(shared, &pending);
    let goes_on = match answer {
        Answer::Ok => status(stream, shared, &pending, 204, "", None),
        Answer::Written(count) => status(stream, shared, &pending, 204, "", Some(count)),
        Answer::Status(code, text) => status(stream, shared, &pending, code, &text, None),
        Answer::RetryAfter(code, seconds) => {
            let mut journal = shared.journal();
            journal.leave(&pending);
            journal.answering(code, Some(Duration::from_secs(seconds)));
            drop(journal);
            write(stream, code, &[format!("Retry-After: {seconds}")], "later")
        }
        Answer::Slow(time) => {
            if stays(stream, shared, arrived + time) {
                status(stream, shared, &pending, 204, "", None)
            } else {
                shared.journal().unanswered(&pending, arrived);
                false
            }
        }
        Answer::Reset => {
            shared.journal().unanswered(&pending, Instant::now());
            false
        }
        Answer::StoreThenReset => {
            let mut journal = shared.journal();
            journal.store(&pending);
            journal.unanswered(&pending, Instant::now());
            false
        }
        Answer::Half => {
            shared.journal().unanswered(&pending, Instant::now());
            let _ = stream.io().write_all(b"HTTP/1.1 204 No Content\r\nDate: Mon");
            let _ = stream.io().flush();
            false
        }
        Answer::Raw(bytes) => {
            let mut journal = shared.journal();
            journal.leave(&pending);
            journal.pauses.forget();
            drop(journal);
            let _ = stream.io().write_all(&bytes);
            let _ = stream.io().flush();
            false
        }
    };
    shared.changed.notify_all();
    goes_on
}

fn status(
    stream: &mut Stream,
    shared: &Shared,
    pending: &Pending,
    code: u16,
    text: &str,
    written: Option<u64>,
) -> bool {
    let mut journal = shared.journal();
    let verdict = journal.judge(pending, code, text, written);
    journal.answering(verdict.status, None);
    drop(journal);
    write(stream, verdict.status, &verdict.headers, &verdict.text)
}

fn write(stream: &mut Stream, code: u16, headers: &[String], text: &str) -> bool {
    let mut head = format!("HTTP/1.1 {code} Answer\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if code != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", text.len()));
    }
    head.push_str("\r\n");
    if code != 204 {
        head.push_str(text);
    }
    stream
        .io()
        .write_all(head.as_bytes())
        .and_then(|()| stream.io().flush())
        .is_ok()
}

/// Whether the client is still there at that time.
fn stays(stream: &Stream, shared: &Shared, until: Instant) -> bool {
    while Instant::now() < until {
        if stream.is_gone() || shared.stopping.load(Ordering::Relaxed) {
            return false;
        }
    }
    true
}

fn wait_for_others(shared: &Shared, pending: &Pending) {
    let end = Instant::now() + SECOND_AFTER;
    let mut journal = shared.journal();
    while journal.is_second(pending) {
        if Instant::now() >= end {
            journal.say_second(pending);
            return;
        }
        drop(journal);
        std::thread::sleep(LOOK_EVERY);
        journal = shared.journal();
    }
}
