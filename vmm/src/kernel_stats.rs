//! The kernel's own counters of a machine or vCPU, from the file that `KVM_GET_STATS_FD` gives.
//!
//! The file describes itself: a header, then a descriptor for each value, then the values (Linux
//! `Documentation/virt/kvm/api.rst`, 4.133). Which there are depends on the kernel. The descriptors are read
//! once; afterwards one `pread` brings all values.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEADER_SIZE: usize = 24;
/// Before the name.
const DESCRIPTOR_SIZE: usize = 16;
/// Far above what any kernel has; a bound for what is read.
const SIZE_MAX: u64 = 1 << 20;

/// The lowest bits of a descriptor's flags.
const TYPE_CUMULATIVE: u32 = 0;
const TYPE_INSTANT: u32 = 1;
const TYPE_PEAK: u32 = 2;
const TYPE_MASK: u32 = 0xf;
/// And its unit, 4 bits further up.
const UNIT_SHIFT: u32 = 4;
const UNIT_SECONDS: u32 = 2;

/// A number that the kernel keeps. (Its histograms are left out.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The kernel's name for it.
    pub name: String,
    /// Whether it is a total that only grows; otherwise it is the present value, or the highest so far.
    pub is_total: bool,
    /// Whether it counts time, in units of 10^`exponent` seconds.
    pub is_time: bool,
    /// Power of ten of its unit.
    pub exponent: i16,
    /// Where its value is, in the block of values.
    offset: usize,
}

/// A file of statistics, and the numbers in it.
#[derive(Debug)]
pub struct KernelStats {
    file: File,
    /// Where the block of values starts in the file.
    data_offset: u64,
    data: Vec<u8>,
    stats: Vec<Stat>,
}

impl KernelStats {
    /// Reads the descriptors.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold what it says.
    pub fn read(file: File) -> io::Result<Self> {
        let mut header = [0; HEADER_SIZE];
        file.read_exact_at(&mut header, 0)?;
        let [
            _flags,
            name_size,
            count,
            _id_offset,
            descriptor_offset,
            data_offset,
        ] = std::array::from_fn(|i| u64::from(u32_at(&header, i * 4).unwrap_or(0)));
        let record_size = DESCRIPTOR_SIZE as u64 + name_size;
        let table_size = count.checked_mul(record_size).filter(|size| *size <= SIZE_MAX);
        let table_size = table_size.and_then(|size| usize::try_from(size).ok());
        let mut table = vec![0; table_size.ok_or_else(|| invalid("too many values"))?];
        file.read_exact_at(&mut table, descriptor_offset)?;

        let (mut stats, mut data_size) = (Vec::new(), 0);
        for record in table.chunks_exact(record_size as usize) {
            let (size, offset) = (u16_at(record, 6), u32_at(record, 8));
            let (Some(flags), Some(size), Some(offset)) = (u32_at(record, 0), size, offset) else {
                return Err(invalid("a descriptor is cut short"));
            };
            let offset = offset as usize;
            data_size = data_size.max(offset + usize::from(size) * 8);
            let kind = flags & TYPE_MASK;
            if matches!(kind, TYPE_CUMULATIVE | TYPE_INSTANT | TYPE_PEAK) && size == 1 {
                let name = record[DESCRIPTOR_SIZE..].split(|byte| *byte == 0).next();
                stats.push(Stat {
                    name: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
                    is_total: kind == TYPE_CUMULATIVE,
                    is_time: flags >> UNIT_SHIFT & TYPE_MASK == UNIT_SECONDS,
                    exponent: u16_at(record, 4).unwrap_or(0).cast_signed(),
                    offset,
                });
            }
        }
        if data_size as u64 > SIZE_MAX {
            return Err(invalid("too many values"));
        }
        Ok(Self {
            file,
            data_offset,
            data: vec![0; data_size],
            stats,
        })
    }

    /// The numbers that there are.
    pub fn stats(&self) -> &[Stat] {
        &self.stats
    }

    /// Fetches all values: one system call, no allocation.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.file.read_exact_at(&mut self.data, self.data_offset)
    }

    /// A value as of the last refresh.
    pub fn value(&self, stat: &Stat) -> u64 {
        let bytes = self.data.get(stat.offset..).and_then(|data| data.first_chunk());
        u64::from_ne_bytes(bytes.copied().unwrap_or_default())
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*bytes))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// As the kernel lays it out: a total, a histogram of three words, a time, and a present value.
    fn sample(count: u32) -> File {
        let mut bytes: Vec<u8> = [0, 16, count, 24, 32, 250]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        bytes.extend(b"kvm-1\0\0\0");
        for (flags, exponent, size, offset, name) in [
            (0u32, 0i16, 1u16, 0u32, "exits"),
            (4, 0, 3, 8, "hist"),
            (2 << 4, -9, 1, 32, "wait_ns"),
            (4 << 4 | 1, 0, 1, 40, "blocking"),
        ] {
            bytes.extend(flags.to_ne_bytes());
            bytes.extend(exponent.to_ne_bytes());
            bytes.extend(size.to_ne_bytes());
            bytes.extend(offset.to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend(format!("{name:\0<16}").bytes());
        }
        bytes.resize(250, 0xee);
        bytes.extend([7u64, 1, 2, 3, 5_000, 1].into_iter().flat_map(u64::to_ne_bytes));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn numbers_are_found_by_their_descriptors() {
        let mut stats = KernelStats::read(sample(4)).unwrap();
        stats.refresh().unwrap();
        let found: Vec<_> = stats
            .stats()
            .iter()
            .map(|s| (s.name.as_str(), s.is_total, s.is_time, stats.value(s)))
            .collect();
        let expected = [
            ("exits", true, false, 7),
            ("wait_ns", true, true, 5_000),
            ("blocking", false, false, 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_promises_more_than_it_has_is_refused() {
        assert!(KernelStats::read(sample(1 << 30)).is_err());
        assert!(KernelStats::read(tempfile::tempfile().unwrap()).is_err());
    }
}
