//! Words as whole numbers: themselves, or doubles that are a whole number divided by a power of ten exactly.

/// Powers of ten that decimals are scaled by.
pub(super) const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// Instead of a power: the words are whole numbers themselves.
pub(super) const INTEGER: u8 = 7;
/// Greatest number up to which all whole numbers are doubles.
const WHOLE_MAX: u64 = 1 << 53;

/// The whole numbers that stand for all of them, and what they are scaled by: the least power of ten that does.
pub(super) fn whole_numbers(words: &[u64], is_integer: bool) -> Option<(u8, Vec<i64>)> {
    if is_integer {
        return Some((INTEGER, words.iter().map(|word| word.cast_signed()).collect()));
    }
    let mut scale = 0;
    for &word in words {
        while whole(word, scale).is_none() {
            scale += 1;
            if usize::from(scale) == POWERS.len() {
                return None;
            }
        }
    }
    // A greater power may be too great for those before.
    let numbers: Option<_> = words.iter().map(|&word| whole(word, scale)).collect();
    Some((scale, numbers?))
}

/// The whole number that stands for `word`, if exactly this word comes back from it.
fn whole(word: u64, scale: u8) -> Option<i64> {
    let power = POWERS.get(usize::from(scale))?;
    let scaled = f64::from_bits(word) * power;
    let whole = (scaled + 0.5f64.copysign(scaled)) as i64;
    (whole.unsigned_abs() <= WHOLE_MAX && word_of(whole, scale) == word).then_some(whole)
}

/// The word that a whole number stands for.
pub(super) fn word_of(whole: i64, scale: u8) -> u64 {
    match POWERS.get(usize::from(scale)) {
        Some(power) => (whole as f64 / power).to_bits(),
        None => whole.cast_unsigned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_exactly_is_whole() {
        let numbers = |values: &[f64]| {
            whole_numbers(
                &values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
                false,
            )
        };
        assert_eq!(numbers(&[3.0, -4.0]), Some((0, vec![3, -4])));
        assert_eq!(numbers(&[0.5, 0.25, 10.0]), Some((2, vec![50, 25, 1000])));
        assert_eq!(numbers(&[0.1 + 0.2]), None);
        assert_eq!(numbers(&[-0.0]), None);
        assert_eq!(numbers(&[f64::NAN]), None);
        assert_eq!(numbers(&[f64::INFINITY]), None);
        assert_eq!(numbers(&[9_007_199_254_740_992.0]), Some((0, vec![1 << 53])));
        // Each alone is, both together are not: the first is too great for the power of ten of the second.
        assert_eq!(numbers(&[9_007_199_254_740_992.0, 0.1]), None);
        assert_eq!(word_of(-1, INTEGER), u64::MAX);
    }
}
