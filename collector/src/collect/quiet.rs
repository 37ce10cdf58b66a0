//! Keeps an error that comes back each second from filling the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a text is not repeated.
const SILENCE: Duration = Duration::from_secs(60);

/// Texts that are remembered; what a stranger's file is called can be part of one.
const TEXTS_MAX: usize = 256;

/// Which texts were said of late.
#[derive(Debug, Default)]
pub struct Quiet {
    said: HashMap<String, Instant>,
}

impl Quiet {
    /// Whether `text` is to be said at `now`: it was not in the last minute.
    pub fn admits(&mut self, text: &str, now: Instant) -> bool {
        self.said
            .retain(|_, at| now.saturating_duration_since(*at) < SILENCE);
        if self.said.contains_key(text) || self.said.len() >= TEXTS_MAX {
            return false;
        }
        self.said.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_said_once_a_minute_and_another_at_once() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let mut at = |text: &str, second| quiet.admits(text, start + Duration::from_secs(second));
        assert!(at("a", 0) && !at("a", 1) && at("b", 1) && !at("a", 59));
        assert!(at("a", 60) && !at("b", 60) && at("b", 61));
    }

    #[test]
    fn no_number_of_texts_takes_more_memory() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        let admitted = (0..10_000).filter(|i| quiet.admits(&i.to_string(), now)).count();
        assert_eq!((admitted, quiet.said.len()), (TEXTS_MAX, TEXTS_MAX));
    }
}
