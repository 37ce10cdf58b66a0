//! Every rule of the format, checked on one slab: what `rondo verify` reports.
//!
//! [`Slab::open`](crate::Slab::open) stops at the first rule that makes a slab unusable. An audit
//! goes on as far as it can: past a broken series to the next, and through all slots. It runs on
//! live slabs too; what a writer changes meanwhile is never a finding.

mod records;
mod slots;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::interner::Interner;
use crate::limits::Limits;
use crate::liveness::{Boot, boot, is_locked};
use crate::mapping::Mapping;
use crate::series::Series;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{Image, Layout, LiveWords, Rule, SectionKind, VERSION_MINOR, Violation};
use std::path::Path;

/// Findings that are kept; a hostile slab can have millions.
const FINDINGS_MAX: usize = 10_000;

/// What is wrong with a slab.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Each broken rule, and where; of slots, the first one of each series and rule, and how many more.
    pub findings: Vec<Violation>,
    /// Findings that are not in the list.
    pub omitted_count: u64,
    /// The slab's minor version, if it is one that this reader does not know all of: the rules
    /// `reserved` and `access` were left out.
    pub newer_minor: Option<u16>,
}

impl Audit {
    /// Whether there are no findings.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, rule: Rule, detail: impl Into<String>) {
        self.push(Violation::new(rule, detail));
    }

    fn push(&mut self, violation: Violation) {
        let left_out = self.newer_minor.is_some() && matches!(violation.rule, Rule::Reserved | Rule::Access);
        if left_out {
            return;
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(violation);
        } else {
            self.omitted_count += 1;
        }
    }
}

/// The parts of a slab that an audit looks at.
struct Subject<'m> {
    image: Image<'m>,
    layout: &'m Layout,
    live: LiveWords<'m>,
    /// Whether a writer may be changing it.
    is_live: bool,
}

/// Checks the file at `path` against every rule. With `is_on_bus` its name has to be that of its identity.
///
/// Costs a pass over all slots: milliseconds for a slab of some MiB.
///
/// # Errors
/// The system's refusal, or [`Error::Lost`]. Broken rules are not errors but findings.
pub fn audit(path: impl AsRef<Path>, limits: &Limits, is_on_bus: bool) -> Result<Audit, Error> {
    let path = path.as_ref();
    let mut audit = Audit::default();
    let mapping = match Mapping::open(path, limits) {
        Ok(mapping) => mapping,
        Err(Error::Rejected { violation, .. }) => {
            audit.push(violation);
            return Ok(audit);
        }
        Err(error) => return Err(error),
    };
    let layout = Layout::validate(mapping.image());
    mapping.check_size()?;
    let layout = match layout {
        Ok(layout) => layout,
        // Nothing has a known place then.
        Err(violation) => {
            audit.push(violation);
            return Ok(audit);
        }
    };
    let minor = layout.header.version_minor.get();
    audit.newer_minor = (minor > VERSION_MINOR).then_some(minor);
    if is_on_bus {
        let expected = layout.identity.file_name();
        if path.file_name().is_none_or(|name| name != expected.as_str()) {
            audit.add(Rule::FileName, format!("it should be called {expected}"));
        }
    }
    let image = mapping.image();
    let Some(live) = layout.live(image) else {
        return Err(Error::Lost(path.to_owned()));
    };
    let is_live = boot(&layout.identity.boot_id) != Boot::Other && is_locked(&mapping)?;
    let subject = Subject {
        image,
        layout: &layout,
        live,
        is_live,
    };
    subject.strides(&mut audit);
    subject.cursor(&mut audit);
    subject.reserved(&mut audit);
    for series in subject.series(&mut audit) {
        subject.slots(&series, &mut audit);
        if !subject.is_live {
            subject.histogram(&series, &mut audit);
        }
    }
    mapping.check_size()?;
    Ok(audit)
}

impl Subject<'_> {
    fn strides(&self, audit: &mut Audit) {
        for kind in [SectionKind::Points, SectionKind::Distributions] {
            let section = self.layout.section(kind);
            if section.record_count > 0 && (section.record_size / 64).is_multiple_of(2) {
                audit.add(
                    Rule::Stride,
                    format!(
                        "the stride of section {kind:?} is {} bytes, an even number of lines",
                        section.record_size
                    ),
                );
            }
        }
    }

    fn cursor(&self, audit: &mut Audit) {
        let interval = self.layout.axis.interval_ns();
        // The tick first: the cursor is raised before it.
        let ticked = rondo_shm_layout::sync::load_acquire(self.live.ticked_ns);
        let cursor = self.live.cursor_ns.load(Ordering::Relaxed);
        for (name, value) in [("cursor_ns", cursor), ("ticked_ns", ticked)] {
            if !value.is_multiple_of(interval) {
                audit.add(
                    Rule::Cursor,
                    format!("{name} is {value}, not a multiple of {interval}"),
                );
            }
        }
        if ticked > cursor {
            audit.add(
                Rule::Cursor,
                format!("ticked_ns is {ticked}, beyond cursor_ns {cursor}"),
            );
        }
    }

    /// Checks all descriptors; those that can be read are returned.
    fn series(&self, audit: &mut Audit) -> Vec<Series> {
        let published = self.live.directory().published();
        let capacity = self.layout.header.series_capacity.get();
        let count = u32::try_from(published)
            .ok()
            .filter(|&count| count <= capacity)
            .unwrap_or_else(|| {
                audit.add(
                    Rule::SeriesCount,
                    format!("{published} series, but room for {capacity}"),
                );
                capacity
            });
        let mut catalogue = Catalogue::new(Interner::new());
        for index in 0..count {
            match rondo_shm_layout::Series::read(self.image, self.layout, index) {
                Ok(Some(series)) => {
                    self.descriptor(&series, audit);
                    if let Err(violation) = catalogue.admit(series) {
                        audit.push(violation);
                    }
                }
                Ok(None) => {} // of a kind that is not known: no rule applies
                Err(violation) => audit.push(violation),
            }
        }
        catalogue.into_series()
    }

    /// The writer's lives so far: each may have ended in the middle of a sample.
    fn lives(&self) -> u64 {
        self.live.reopen_count.load(Ordering::Relaxed).saturating_add(1)
    }
}
