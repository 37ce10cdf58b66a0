//! Which version a destination is spoken to in: 2.0 only with proof.
//!
//! A server of 1.0 that does not look at the content type reads a request of 2.0 as an empty one, answers 2xx, and stores
//! nothing (VictoriaMetrics 1.79 answers 204). So the specification has servers of 2.0 say in headers what they wrote, and
//! has senders take a 2xx without them for a 415. If the answer has none of those headers, the same samples go again in
//! 1.0, and 1.0 it stays until the collector starts anew. Servers of 1.0 may also answer 400; those of 2.0 have the headers
//! then, too.
//!
//! No input or output in here: answers come in, what to do comes out.

use super::Protocol;
use super::reply::{Reply, Written};

/// What is known of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// 2.0 is wanted, and not proven.
    Unproven,
    /// The server has said what it wrote.
    Proven,
    /// 1.0, wanted or for want of more.
    V1,
}

/// The version for the next request, by the answers so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    state: State,
}

/// What is to become of a request that has been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived; on with the next.
    Done,
    /// The server took it, but says that it wrote fewer samples than were in it; on with the next, and say so.
    Short {
        /// In the request.
        sent: u64,
        /// As the server says: samples and histograms.
        written: u64,
    },
    /// The same samples once more, at once, as 1.0 ([`super::Body::to_v1`]), which is spoken from now on.
    AgainAsV1 {
        /// For the log.
        why: &'static str,
    },
    /// The reply says what: try again later, or never.
    Failed,
}

impl Version {
    /// For a destination that is set so.
    pub fn new(wanted: Protocol) -> Self {
        let state = match wanted {
            Protocol::V1 => State::V1,
            Protocol::V2 => State::Unproven,
        };
        Self { state }
    }

    /// In which version the next request goes.
    pub fn protocol(&self) -> Protocol {
        match self.state {
            State::Unproven | State::Proven => Protocol::V2,
            State::V1 => Protocol::V1,
        }
    }

    /// Takes in the answer to a request of that version with so many samples and histograms.
    ///
    /// A body that was written down before a restart may be of 2.0 although 1.0 is wanted by now: it is judged as what it is.
    pub fn judge(&mut self, sent_as: Protocol, sample_count: usize, reply: &Reply) -> Verdict {
        match (sent_as, reply) {
            (Protocol::V1, Reply::Accepted { .. }) => Verdict::Done,
            (Protocol::V2, Reply::Accepted { written: None }) => self.fall_back(
                "it answered as if it had taken a request of 2.0, but not what it wrote, so it may have stored nothing",
            ),
            (Protocol::V2, Reply::Accepted { written: Some(written) }) => {
                if self.state == State::Unproven {
                    self.state = State::Proven;
                }
                short(sample_count, *written)
            }
            (Protocol::V2, Reply::Refused { written: Some(_), .. }) => {
                if self.state == State::Unproven {
                    self.state = State::Proven;
                }
                Verdict::Failed
            }
            (Protocol::V2, Reply::Refused { status: 400, .. }) if self.state != State::Proven => {
                self.fall_back("it refuses a request of 2.0 (status 400) as servers of 1.0 do")
            }
            (Protocol::V2, Reply::NotSupported) => self.fall_back("it does not support 2.0 (status 415)"),
            _ => Verdict::Failed,
        }
    }

    fn fall_back(&mut self, why: &'static str) -> Verdict {
        self.state = State::V1;
        Verdict::AgainAsV1 { why }
    }
}

fn short(sample_count: usize, written: Written) -> Verdict {
    let sent = sample_count as u64;
    let written = written.of_sent(sent);
    if written < sent {
        Verdict::Short { sent, written }
    } else {
        Verdict::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(samples: u64) -> Reply {
        let written = Written {
            samples,
            histograms: 0,
            exemplars: 0,
        };
        Reply::Accepted {
            written: Some(written),
        }
    }

    const SILENT: Reply = Reply::Accepted { written: None };

    #[test]
    fn a_server_of_1_0_is_never_asked_for_more() {
        let mut version = Version::new(Protocol::V1);
        for reply in [SILENT, accepted(1), accepted(0)] {
            assert_eq!(version.judge(Protocol::V1, 5, &reply), Verdict::Done);
            assert_eq!(version.protocol(), Protocol::V1);
        }
        assert_eq!(
            version.judge(Protocol::V1, 5, &Reply::NotSupported),
            Verdict::Failed
        );
    }

    #[test]
    fn the_headers_prove_2_0_and_say_what_is_missing() {
        let mut version = Version::new(Protocol::V2);
        assert_eq!(version.protocol(), Protocol::V2);
        assert_eq!(version.judge(Protocol::V2, 5, &accepted(5)), Verdict::Done);
        assert_eq!(version.protocol(), Protocol::V2);
        let short = Verdict::Short { sent: 5, written: 3 };
        assert_eq!(version.judge(Protocol::V2, 5, &accepted(3)), short);
    }

    /// VictoriaMetrics 1.79 answers 204 to 2.0 and stores nothing.
    #[test]
    fn a_2xx_that_does_not_say_what_it_wrote_is_no_proof() {
        for reply in [SILENT, Reply::NotSupported] {
            let mut version = Version::new(Protocol::V2);
            assert!(matches!(
                version.judge(Protocol::V2, 5, &reply),
                Verdict::AgainAsV1 { .. }
            ));
            assert_eq!(version.protocol(), Protocol::V1);
            assert_eq!(version.judge(Protocol::V1, 5, &SILENT), Verdict::Done);
            // Even if the server should learn it.
            assert_eq!(version.judge(Protocol::V1, 5, &accepted(5)), Verdict::Done);
            assert_eq!(version.protocol(), Protocol::V1);
        }
    }

    /// A server that was replaced by an older one while we ran.
    #[test]
    fn proof_is_asked_for_with_every_answer() {
        let mut version = Version::new(Protocol::V2);
        version.judge(Protocol::V2, 5, &accepted(5));
        assert!(matches!(
            version.judge(Protocol::V2, 5, &SILENT),
            Verdict::AgainAsV1 { .. }
        ));
        assert_eq!(version.protocol(), Protocol::V1);
    }

    fn refused(written: Option<Written>) -> Reply {
        Reply::Refused {
            status: 400,
            body: "no".into(),
            written,
        }
    }

    /// The specification wants the headers with every answer of 2.0, so a 400 with them is about samples, and one without
    /// them may be about the message.
    #[test]
    fn a_400_falls_back_unless_2_0_is_proven() {
        let nothing = Written {
            samples: 0,
            histograms: 0,
            exemplars: 0,
        };
        let mut version = Version::new(Protocol::V2);
        let verdict = version.judge(Protocol::V2, 5, &refused(None));
        assert!(matches!(verdict, Verdict::AgainAsV1 { .. }));
        assert_eq!(version.protocol(), Protocol::V1);

        let mut version = Version::new(Protocol::V2);
        assert_eq!(
            version.judge(Protocol::V2, 5, &refused(Some(nothing))),
            Verdict::Failed
        );
        assert_eq!(version.judge(Protocol::V2, 5, &refused(None)), Verdict::Failed);
        assert_eq!(version.protocol(), Protocol::V2);
    }

    #[test]
    fn failures_decide_nothing() {
        let mut version = Version::new(Protocol::V2);
        let retry = Reply::Retry {
            status: None,
            after: None,
            why: "down".into(),
        };
        let refused = Reply::Refused {
            status: 403,
            body: "no".into(),
            written: None,
        };
        for reply in [retry, refused] {
            let before = version.clone();
            assert_eq!(version.judge(Protocol::V2, 5, &reply), Verdict::Failed);
            assert_eq!(version, before);
        }
    }
}
