//! What a receiver answers.

use std::time::Duration;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 204, and it is stored.
    Ok,
    /// 204, and it is stored, but the header of 2.0 says so many samples.
    Written(u64),
    /// That status with that text; nothing is stored unless it is a 2xx.
    Status(u16, String),
    /// That status with `Retry-After` in seconds; nothing is stored.
    RetryAfter(u16, u64),
    /// As [`Answer::Ok`], after a while; nothing is stored if the client goes before.
    Slow(Duration),
    /// Takes the request and closes without an answer; nothing is stored.
    Reset,
    /// Stores it and closes without an answer.
    StoreThenReset,
    /// Half the head of an answer, then the end; nothing is stored.
    Half,
    /// These bytes as they are, then the end; nothing is stored.
    Raw(Vec<u8>),
}

/// How a receiver takes the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// As either, and says what it wrote.
    Both,
    /// 1.0 only, and 415 to anything else.
    OnlyV1,
    /// 1.0 only, and takes 2.0 for it: finds an empty request, answers 204, and stores nothing, as VictoriaMetrics 1.79.
    TakesAllForV1,
}

/// A label whose series are not welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What a request that has it gets.
    pub status: u16,
    /// What of such a request is stored nevertheless.
    pub stores: Stores,
}

/// What of a refused request is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// Nothing, as Prometheus does with 1.0.
    Nothing,
    /// Other series: a partial write.
    Others,
}
