//! What became of a request.
//!
//! By the specifications "Prometheus Remote-Write 1.0" and "2.0", sections on retries and responses:
//!
//! | answer | reply |
//! |---|---|
//! | 2xx | [`Accepted`](Reply::Accepted); the body is ignored |
//! | 5xx, 429 | [`Retry`](Reply::Retry), as they must and may be |
//! | none: no connection, broken off, too slow, no trust | [`Retry`](Reply::Retry) |
//! | 415 | [`NotSupported`](Reply::NotSupported): this version of the message is not understood |
//! | any other 4xx, 408 among them | [`Refused`](Reply::Refused): they must not be retried |
//! | 3xx | [`Refused`](Reply::Refused): redirects are not followed, lest samples and secrets go where nobody sent them |
//!
//! What a server says is a stranger's text: it is cut at [`TEXT_BYTES_MAX`], and has no control characters.

use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, StatusCode};

/// Longest part of a server's message that is kept.
pub const TEXT_BYTES_MAX: usize = 1024;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The server has it.
    Accepted {
        /// What it says it wrote, if it says so.
        written: Option<Written>,
    },
    /// It may be better later, with the same bytes.
    Retry {
        /// Of HTTP, if there was an answer.
        status: Option<u16>,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
        /// What went wrong, and what to do about it where that is known.
        why: String,
    },
    /// It will never be taken.
    Refused {
        /// Of HTTP.
        status: u16,
        /// What the server says.
        body: String,
        /// What it says it wrote nevertheless; only servers of 2.0 do.
        written: Option<Written>,
    },
    /// The server does not understand this version.
    NotSupported,
}

/// What a server says it wrote; a missing header counts as 0 if another is there, as 2.0 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// `X-Prometheus-Remote-Write-Samples-Written`.
    pub samples: u64,
    /// `X-Prometheus-Remote-Write-Histograms-Written`.
    pub histograms: u64,
    /// `X-Prometheus-Remote-Write-Exemplars-Written`.
    pub exemplars: u64,
}

impl Written {
    /// Samples and histograms of a request that had so many: what a server says is not to be trusted with sums.
    pub(super) fn of_sent(self, sample_count: u64) -> u64 {
        self.samples.saturating_add(self.histograms).min(sample_count)
    }

    /// `None` without any of the headers, or without a number in them.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let samples = number("x-prometheus-remote-write-samples-written");
        let histograms = number("x-prometheus-remote-write-histograms-written");
        let exemplars = number("x-prometheus-remote-write-exemplars-written");
        samples.or(histograms).or(exemplars)?;
        Some(Self {
            samples: samples.unwrap_or(0),
            histograms: histograms.unwrap_or(0),
            exemplars: exemplars.unwrap_or(0),
        })
    }
}

impl Reply {
    /// By the head of an answer and the start of its body.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let written = Written::of(headers);
        let body = text(body);
        let code = status.as_u16();
        match code {
            200..=299 => Self::Accepted { written },
            415 => Self::NotSupported,
            429 | 500.. => Self::Retry {
                status: Some(code),
                after: retry_after(headers, now),
                why: if body.is_empty() {
                    format!("status {status}")
                } else {
                    format!("status {status}: {body}")
                },
            },
            300..=399 => {
                let location = headers.get("location").map(|location| text(location.as_bytes()));
                let location = location.as_deref().unwrap_or("nowhere");
                Self::Refused {
                    status: code,
                    body: format!(
                        "the server redirects to {location}, and redirects are not followed; set `url` to where samples are to go"
                    ),
                    written,
                }
            }
            _ => Self::Refused {
                status: code,
                body,
                written,
            },
        }
    }
}

/// A server's text on one line, for a log.
pub(super) fn text(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let mut line = String::with_capacity(start.len());
    for c in String::from_utf8_lossy(start).chars() {
        if line.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        if c.is_whitespace() {
            if !line.ends_with(' ') {
                line.push(' ');
            }
        } else if !c.is_control() {
            line.push(c);
        }
    }
    line.trim().to_owned()
}

/// Seconds or a date ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after)); what is neither is ignored.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let parsed = pairs.iter().map(|(name, value)| {
            let name = ureq::http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        parsed.collect()
    }

    fn reply(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Reply {
        // 1994-11-06 08:49:07 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
        Reply::of(
            StatusCode::from_u16(status).unwrap(),
            &headers(pairs),
            body.as_bytes(),
            now,
        )
    }

    #[test]
    fn every_status_has_its_reply() {
        for status in 100..=999u16 {
            let reply = reply(status, &[], "x");
            let right = match status {
                200..=299 => matches!(reply, Reply::Accepted { written: None }),
                415 => reply == Reply::NotSupported,
                429 | 500.. => matches!(reply, Reply::Retry { after: None, .. }),
                _ => matches!(reply, Reply::Refused { status: same, .. } if same == status),
            };
            assert!(right, "{status}: {reply:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_any_of_three_dates() {
        let cases = [
            ("30", Some(30)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("soon", None),
            ("-3", None),
            ("1.5", None),
            ("99999999999999999999999999", None),
        ];
        for (value, seconds) in cases {
            for status in [429, 503] {
                let Reply::Retry { after, .. } = reply(status, &[("retry-after", value)], "") else {
                    panic!("{status}");
                };
                assert_eq!(after, seconds.map(Duration::from_secs), "{value:?}");
            }
        }
    }

    #[test]
    fn what_was_written_is_known_by_any_of_three_headers() {
        let samples = "x-prometheus-remote-write-samples-written";
        let exemplars = "x-prometheus-remote-write-exemplars-written";
        let written = |pairs: &[(&'static str, &str)]| match reply(204, pairs, "") {
            Reply::Accepted { written } => written,
            other => panic!("{other:?}"),
        };
        let of = |samples, exemplars| Written {
            samples,
            histograms: 0,
            exemplars,
        };
        assert_eq!(written(&[(samples, "12")]), Some(of(12, 0)));
        assert_eq!(written(&[(exemplars, "3")]), Some(of(0, 3)));
        assert_eq!(written(&[]), None);
        assert_eq!(written(&[(samples, "many")]), None);
    }

    #[test]
    fn no_server_writes_more_than_it_was_sent() {
        let written = |samples, histograms| Written {
            samples,
            histograms,
            exemplars: u64::MAX,
        };
        assert_eq!(written(u64::MAX, u64::MAX).of_sent(7), 7);
        assert_eq!(written(u64::MAX, 1).of_sent(7), 7);
        assert_eq!(written(2, 3).of_sent(7), 5);
    }

    /// A server's text goes to a terminal, a log and a page.
    #[test]
    fn a_servers_text_is_short_and_harmless() {
        let body = format!("out of\norder\u{1b}[31m\u{7f}\r\n{}", "ä".repeat(2_000));
        let Reply::Refused { body, .. } = reply(400, &[], &body) else {
            panic!();
        };
        assert!(body.starts_with("out of order[31m ä"), "{body}");
        assert!(body.len() <= TEXT_BYTES_MAX, "{}", body.len());
        assert!(!body.contains(char::is_control));
    }

    #[test]
    fn a_redirect_says_where_it_would_have_gone() {
        let Reply::Refused { status, body, .. } = reply(307, &[("location", "http://elsewhere/")], "") else {
            panic!();
        };
        assert_eq!(status, 307);
        assert!(
            body.contains("http://elsewhere/") && body.contains("`url`"),
            "{body}"
        );
    }
}
