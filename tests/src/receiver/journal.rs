//! What a receiver has seen and stored, and the rules for requests in a row.
//!
//! - In each series, stamps never go back. The newest stored sample may come again, with the same bits, as part of a request
//!   that repeats the last stored one byte for byte, or if it was stored of a request that was refused all the same: no
//!   server tells its sender which part it stored.
//! - No two requests with the same series are on their way at once.

use super::answer::{Answer, Refusal, Speaks, Stores};
use super::head::{Request, Version};
use super::message::{self, Histogram, Metadata, Series};
use super::pauses::Pauses;
use super::series::{check, display};
use rondo_shm_layout::Labels;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Largest message that is decoded.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// All that a receiver knows.
#[derive(Debug)]
pub struct Journal {
    pub(super) script: VecDeque<Answer>,
    pub(super) always: Answer,
    pub(super) speaks: Speaks,
    pub(super) refusals: Vec<Refusal>,
    /// All so far.
    pub requests: Vec<Request>,
    /// A sentence for each broken rule.
    pub violations: Vec<String>,
    /// Stored, without repeats.
    pub sample_count: usize,
    /// Stored samples that came again.
    pub repeat_count: usize,
    /// When which pauses were made.
    pub pauses: Pauses,
    stored: BTreeMap<Labels, Vec<(i64, u64)>>,
    pub(super) histograms: BTreeMap<Labels, Vec<Histogram>>,
    pub(super) metadata: BTreeMap<Labels, Metadata>,
    /// The body of the last request of which anything was stored.
    last_stored: Vec<u8>,
    /// Series whose newest sample was stored of a request that was refused.
    may_repeat: HashSet<Labels>,
    on_their_way: HashMap<usize, HashSet<Labels>>,
}

/// A request that has been read and waits for its answer.
pub(super) struct Pending {
    /// Its place among all requests.
    pub(super) index: usize,
    series: Vec<Series>,
    version: Option<Version>,
}

/// How a request is answered: the head's first line and headers, and whether the connection ends.
pub(super) struct Verdict {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) headers: Vec<String>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            script: VecDeque::new(),
            always: Answer::Ok,
            speaks: Speaks::Both,
            refusals: Vec::new(),
            requests: Vec::new(),
            violations: Vec::new(),
            sample_count: 0,
            repeat_count: 0,
            pauses: Pauses::default(),
            stored: BTreeMap::new(),
            histograms: BTreeMap::new(),
            metadata: BTreeMap::new(),
            last_stored: Vec::new(),
            may_repeat: HashSet::new(),
            on_their_way: HashMap::new(),
        }
    }

    /// All that was stored.
    pub fn samples(&self) -> BTreeMap<Labels, Vec<(i64, u64)>> {
        self.stored.clone()
    }

    /// Takes a request in: checks all that can be checked before it is answered, and says what its answer is to be.
    pub(super) fn arrive(&mut self, request: Request) -> (Pending, Answer) {
        let index = self.requests.len();
        let mut broken = request.check_head();
        broken.extend(self.pauses.arrived(request.arrived));
        let version = request.version();
        let series = decode(&request.body, version).unwrap_or_else(|error| {
            broken.push(error);
            Vec::new()
        });
        broken.extend(check(&series));
        broken.extend(self.check_order(&series, &request.body));
        self.violations
            .extend(broken.into_iter().map(|rule| format!("request {index}: {rule}")));
        self.requests.push(request);
        let labels = series.iter().map(|series| series.labels.clone()).collect();
        self.on_their_way.insert(index, labels);
        let answer = self.script.pop_front().unwrap_or_else(|| self.always.clone());
        let pending = Pending {
            index,
            series,
            version,
        };
        (pending, answer)
    }

    /// Whether a series of the request is on its way in another that has not been answered.
    pub(super) fn is_second(&self, pending: &Pending) -> bool {
        let mine = &self.on_their_way[&pending.index];
        let mut others = self
            .on_their_way
            .iter()
            .filter(|(index, _)| **index != pending.index);
        others.any(|(_, labels)| !labels.is_disjoint(mine))
    }

    pub(super) fn say_second(&mut self, pending: &Pending) {
        self.violations.push(format!(
            "request {}: a series of it is on its way in another that has no answer yet",
            pending.index
        ));
    }

    fn check_order(&self, series: &[Series], body: &[u8]) -> Vec<String> {
        let mut broken = Vec::new();
        for series in series {
            let newest = self.stored.get(&series.labels).and_then(|samples| samples.last());
            for (sample, newest) in series.samples.iter().zip(newest) {
                let may = self.last_stored == body || self.may_repeat.contains(&series.labels);
                let again = sample == newest && may;
                if sample.0 <= newest.0 && !again {
                    broken.push(format!(
                        "{}: a sample of {} after one of {}",
                        display(&series.labels),
                        sample.0,
                        newest.0
                    ));
                }
            }
        }
        broken
    }

    /// The request is over, whatever became of it.
    pub(super) fn leave(&mut self, pending: &Pending) {
        self.on_their_way.remove(&pending.index);
    }

    /// It will not be answered. A sender that went by itself did so at a time that is not known: `at` is then that of its
    /// request.
    pub(super) fn unanswered(&mut self, pending: &Pending, at: Instant) {
        self.leave(pending);
        self.pauses.failed(at, None);
    }

    /// Stores all of it.
    pub(super) fn store(&mut self, pending: &Pending) {
        self.store_if(pending, false, |_| true);
    }

    fn store_if(&mut self, pending: &Pending, refused: bool, wanted: impl Fn(&Series) -> bool) {
        let mut any = false;
        for series in pending.series.iter().filter(|series| wanted(series)) {
            any = true;
            let stored = self.stored.entry(series.labels.clone()).or_default();
            for sample in &series.samples {
                match stored.last() {
                    Some(newest) if newest == sample => self.repeat_count += 1,
                    // What breaks the order was said on arrival, and a server would not store it.
                    Some(newest) if newest.0 >= sample.0 => {}
                    _ => {
                        stored.push(*sample);
                        self.sample_count += 1;
                        if refused {
                            self.may_repeat.insert(series.labels.clone());
                        } else {
                            self.may_repeat.remove(&series.labels);
                        }
                    }
                }
            }
            if stored.is_empty() {
                self.stored.remove(&series.labels);
            }
            if !series.histograms.is_empty() {
                let all = self.histograms.entry(series.labels.clone()).or_default();
                let new = series
                    .histograms
                    .iter()
                    .filter(|histogram| !all.contains(histogram));
                let new: Vec<Histogram> = new.cloned().collect();
                all.extend(new);
            }
            if let Some(metadata) = &series.metadata {
                self.metadata.insert(series.labels.clone(), metadata.clone());
            }
        }
        if any {
            self.last_stored = self.requests[pending.index].body.clone();
        }
    }

    /// What a request gets that was promised that status, and what of it is stored.
    pub(super) fn judge(
        &mut self,
        pending: &Pending,
        status: u16,
        text: &str,
        written: Option<u64>,
    ) -> Verdict {
        let mut verdict = Verdict {
            status,
            text: text.to_owned(),
            headers: Vec::new(),
        };
        if (200..300).contains(&status) {
            self.judge_good(pending, &mut verdict, written);
        }
        self.leave(pending);
        verdict
    }

    fn judge_good(&mut self, pending: &Pending, verdict: &mut Verdict, written: Option<u64>) {
        let v2 = pending.version == Some(Version::V2);
        match self.speaks {
            Speaks::OnlyV1 if v2 => {
                verdict.status = 415;
                verdict.text = "unsupported proto message".into();
                return;
            }
            Speaks::TakesAllForV1 if v2 => return,
            _ => {}
        }
        let has = |series: &Series, refusal: &Refusal| {
            let mut labels = series.labels.iter();
            labels.any(|(name, value)| *name == refusal.label && *value == refusal.value)
        };
        let count = |series: &Series| (series.samples.len() as u64, series.histograms.len() as u64);
        let mut counts = pending
            .series
            .iter()
            .map(count)
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let refusal = self.refusals.iter();
        let refusal = refusal
            .filter(|refusal| pending.series.iter().any(|series| has(series, refusal)))
            .min_by_key(|refusal| refusal.status)
            .cloned();
        match refusal {
            None => self.store(pending),
            Some(refusal) => {
                verdict.status = refusal.status;
                verdict.text = format!("{}={:?} is not welcome", refusal.label, refusal.value);
                counts = (0, 0);
                if refusal.stores == Stores::Others {
                    let others = pending.series.iter().filter(|series| !has(series, &refusal));
                    counts = others.map(count).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
                    self.store_if(pending, true, |series| !has(series, &refusal));
                }
            }
        }
        if v2 {
            let samples = written.unwrap_or(counts.0);
            verdict.headers = vec![
                format!("X-Prometheus-Remote-Write-Samples-Written: {samples}"),
                format!("X-Prometheus-Remote-Write-Histograms-Written: {}", counts.1),
                "X-Prometheus-Remote-Write-Exemplars-Written: 0".into(),
            ];
        }
    }

    /// Notes for the rules of back-off that an answer is about to be sent.
    pub(super) fn answering(&mut self, status: u16, retry_after: Option<Duration>) {
        if status == 429 || status >= 500 {
            self.pauses.failed(Instant::now(), retry_after);
        } else {
            self.pauses.forget();
        }
    }
}

/// The series of a body, or the rule that it breaks.
fn decode(body: &[u8], version: Option<Version>) -> Result<Vec<Series>, String> {
    let framed = body.starts_with(b"\xff\x06\x00\x00sNaPpY");
    if framed {
        return Err("the body has the framed format of snappy, not the block format".into());
    }
    let len =
        snap::raw::decompress_len(body).map_err(|error| format!("the body is no snappy block: {error}"))?;
    if len > MESSAGE_BYTES_MAX {
        return Err(format!("a message of {len} bytes"));
    }
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|error| format!("the body is no snappy block: {error}"))?;
    match version {
        Some(Version::V2) => message::request_v2(&message),
        _ => message::write_request(&message),
    }
}
