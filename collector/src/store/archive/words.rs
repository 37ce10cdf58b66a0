//! A column of words, in the smallest of a few codings.
//!
//! The length of a column follows from its first bytes and the number of rows, so a reader steps over it
//! without decoding it. What nothing shrinks costs a byte more than it is.

use super::bits::{pack, packed_len, unpack, width_of};
use super::coding::Coding;
use super::decimal::whole_numbers;
use super::input::{Input, Malformed};
use rondo_shm_layout::SENTINEL;

/// Bit of the tag: a bitmap says which rows hold the sentinel.
const HAS_SENTINELS: u8 = 0x40;

/// Appends a column.
pub(super) fn encode(bytes: &mut Vec<u8>, words: &[u64], is_integer: bool) {
    let sentinel_count = words.iter().filter(|&&word| word == SENTINEL).count();
    if sentinel_count == 0 {
        return encode_present(bytes, 0, &[], words, is_integer);
    }
    if sentinel_count == words.len() {
        return Coding::Nothing.write(bytes, 0, &[], &[], &[]);
    }
    let mut bitmap = Vec::new();
    pack(
        &mut bitmap,
        1,
        words.iter().map(|&word| u64::from(word == SENTINEL)),
    );
    let present: Vec<u64> = words.iter().copied().filter(|&word| word != SENTINEL).collect();
    encode_present(bytes, HAS_SENTINELS, &bitmap, &present, is_integer);
}

/// Bytes of a column at most: as they are, or with one sentinel, whose bitmap may take more than it saves.
pub(super) fn len_max(rows: usize) -> usize {
    1 + size_of::<u64>() * rows + packed_len(rows, 1).saturating_sub(size_of::<u64>())
}

fn encode_present(bytes: &mut Vec<u8>, flag: u8, bitmap: &[u8], words: &[u64], is_integer: bool) {
    let mut best = Coding::Raw;
    let mut consider = |coding: Coding| {
        if coding.len(words.len()) < best.len(words.len()) {
            best = coding;
        }
    };
    let or = words.windows(2).fold(0, |or, pair| or | pair[0] ^ pair[1]);
    let first = words.first().copied().unwrap_or(0);
    if or == 0 {
        consider(Coding::Constant(first));
    }
    let shift = or.trailing_zeros().min(63);
    consider(Coding::Xor {
        first,
        shift,
        width: width_of(or >> shift),
    });
    let numbers = whole_numbers(words, is_integer);
    if let Some((scale, numbers)) = &numbers {
        integers(*scale, numbers).into_iter().for_each(consider);
    }
    let numbers = numbers.map_or_else(Vec::new, |(_, numbers)| numbers);
    best.write(bytes, flag, bitmap, words, &numbers);
}

/// Both ways to code whole numbers.
fn integers(scale: u8, numbers: &[i64]) -> [Coding; 2] {
    let spread = |least: i64, greatest: i64| width_of(greatest.wrapping_sub(least).cast_unsigned());
    let (base, greatest) = bounds(numbers.iter().copied());
    let offset = Coding::Offset {
        scale,
        base,
        width: spread(base, greatest),
    };
    let (base, greatest) = bounds(numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    let delta = Coding::Delta {
        scale,
        first: numbers.first().copied().unwrap_or(0),
        base,
        width: spread(base, greatest),
    };
    [offset, delta]
}

fn bounds(values: impl Iterator<Item = i64>) -> (i64, i64) {
    values
        .fold(None, |bounds, value| match bounds {
            None => Some((value, value)),
            Some((least, greatest)) => Some((value.min(least), value.max(greatest))),
        })
        .unwrap_or((0, 0))
}

/// A column's head and the bytes of its words.
struct Parsed<'a> {
    coding: Coding,
    bitmap: Option<&'a [u8]>,
    count: usize,
    payload: &'a [u8],
}

fn parse<'a>(input: &mut Input<'a>, rows: usize) -> Result<Parsed<'a>, Malformed> {
    let tag = input.u8()?;
    let has_sentinels = tag & HAS_SENTINELS != 0;
    let bitmap = has_sentinels
        .then(|| input.take(packed_len(rows, 1)))
        .transpose()?;
    let sentinel_count: u64 = bitmap.map_or(0, |bitmap| unpack(bitmap, 1).take(rows).sum());
    let count = rows - sentinel_count as usize;
    let coding = Coding::read(tag & !HAS_SENTINELS, input)?;
    let payload = input.take(coding.payload_len(count))?;
    Ok(Parsed {
        coding,
        bitmap,
        count,
        payload,
    })
}

/// Replaces `words` by those of a column.
pub(super) fn decode(input: &mut Input<'_>, rows: usize, words: &mut Vec<u64>) -> Result<(), Malformed> {
    let parsed = parse(input, rows)?;
    words.clear();
    parsed.coding.expand(parsed.payload, parsed.count, words);
    if let Some(bitmap) = parsed.bitmap {
        let mut present = std::mem::take(words).into_iter();
        words.extend(unpack(bitmap, 1).take(rows).map(|is_sentinel| match is_sentinel {
            0 => present.next().unwrap_or(SENTINEL),
            _ => SENTINEL,
        }));
    }
    Ok(())
}

/// Steps over a column.
pub(super) fn skip(input: &mut Input<'_>, rows: usize) -> Result<(), Malformed> {
    parse(input, rows).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::decimal::POWERS;
    use super::*;
    use proptest::prelude::*;

    fn encoded(words: &[u64], is_integer: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, words, is_integer);
        bytes
    }

    fn decoded(bytes: &[u8], rows: usize) -> Vec<u64> {
        let mut words = vec![7];
        let mut input = Input(bytes);
        decode(&mut input, rows, &mut words).unwrap();
        input.end().unwrap();
        words
    }

    fn floats(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn any_word() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            Just(SENTINEL),
            (-1000i64..1000).prop_map(i64::cast_unsigned),
            (-1000i32..1000).prop_map(|n| f64::from(n).to_bits()),
            (-100_000i32..100_000, 0usize..7).prop_map(|(n, k)| (f64::from(n) / POWERS[k]).to_bits()),
            any::<f64>().prop_map(f64::to_bits),
            prop_oneof![
                Just(-0.0),
                Just(f64::INFINITY),
                Just(f64::NAN),
                Just(9007199254740993.0)
            ]
            .prop_map(f64::to_bits),
        ]
    }

    proptest! {
        /// Alike or not, whole or not: not a bit may change.
        #[test]
        fn columns_come_back(
            words in prop_oneof![
                prop::collection::vec(any_word(), 0..70),
                (any_word(), 0usize..70).prop_map(|(word, n)| vec![word; n]),
                (prop::collection::vec((-50i32..50, any::<bool>()), 0..70), 0usize..7).prop_map(|(steps, k)| {
                    let word = |n: i32| (f64::from(n) / POWERS[k]).to_bits();
                    steps.into_iter().map(|(n, gap)| if gap { SENTINEL } else { word(n) }).collect()
                }),
            ],
            is_integer: bool,
        ) {
            let bytes = encoded(&words, is_integer);
            prop_assert!(bytes.len() <= 1 + 8 * words.len());
            prop_assert_eq!(decoded(&bytes, words.len()), words.clone());
            let mut input = Input(&bytes);
            skip(&mut input, words.len()).unwrap();
            prop_assert_eq!(input.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_a_column_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..100), rows in 0usize..2000) {
            let mut words = Vec::new();
            let result = decode(&mut Input(&bytes), rows, &mut words);
            prop_assert!(result.is_err() || words.len() == rows);
            prop_assert_eq!(skip(&mut Input(&bytes), rows), result);
        }
    }

    /// What the common kinds of series cost for 30 rows.
    #[test]
    fn common_columns_are_small() {
        let column = |of: &dyn Fn(u32) -> f64| {
            encoded(&(0..30).map(|n| of(n).to_bits()).collect::<Vec<_>>(), false).len()
        };
        assert_eq!(column(&|_| 42.0), 3);
        assert_eq!(column(&|_| std::f64::consts::PI), 9);
        assert_eq!(column(&|n| 0.25 * f64::from(n)), 4);
        assert_eq!(column(&|n| f64::from(n * n % 7) / 10.0), 3 + 12);
        assert!(column(&|n| f64::from(n).sqrt()) <= 1 + 8 * 30);
        let counter: Vec<u64> = (0..30).map(|n| 10_000_000 + 250 * n).collect();
        assert_eq!(encoded(&counter, true).len(), 8);
        assert_eq!(encoded(&[SENTINEL; 30], false), [5]);
        assert_eq!(
            encoded(&floats(&[1.0, f64::from_bits(SENTINEL), 1.0]), false).len(),
            4
        );
    }

    /// Each coding as the page has it, so that a change of one is a change of the format.
    #[test]
    fn codings_are_those_of_the_page() {
        assert_eq!(encoded(&[], true), [0]);
        assert_eq!(
            encoded(&floats(&[0.5, 0.7, 0.6]), false),
            [2 | 1 << 3, 2, 10, 0b01_10_00]
        );
        assert_eq!(
            encoded(&[100, 200, 301, 401], true),
            [3 | 7 << 3, 1, 200, 1, 200, 1, 0b010]
        );
        assert_eq!(
            encoded(&[u64::MAX, SENTINEL], true),
            [2 | 7 << 3 | 0x40, 0b10, 0, 1]
        );
        let alike = floats(&[1.0 / 3.0, 1.0 / 3.0, -1.0 / 3.0]);
        let mut expected = vec![4, 63, 1];
        expected.extend(alike[0].to_le_bytes());
        expected.push(0b10);
        assert_eq!(encoded(&alike, false), expected);
    }
}
