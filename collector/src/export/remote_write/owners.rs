//! Whose series are whose, when machines come again under one name.
//!
//! Two incarnations of one instance have the same labels, and so would be one series. The name belongs to one of them at a
//! time: to the first, and once that is gone to the next whose rows are all later. Any other carries the label `incarnation`,
//! for as long as it lives.

use crate::export::ExportCursor;
use crate::store::Source;
use rondo_shm_layout::fnv1a_64;
use std::collections::{HashMap, HashSet};

/// Who owns the name of each instance, by the hash of the name.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<u64, Owner>);

#[derive(Debug, Clone, Copy)]
struct Owner {
    incarnation: [u8; 16],
    /// Where its newest row ends on the wall clock.
    newest_ns: i128,
}

/// Rows of an incarnation, as they come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub(super) instance_hash: u64,
    pub(super) incarnation: [u8; 16],
    /// Whether rows of the slice have left before.
    pub(super) is_known: bool,
    /// Where the first and the last of them end on the wall clock.
    pub(super) ends_ns: (i128, i128),
}

/// The incarnations that live.
#[derive(Debug, Default)]
pub(super) struct Living {
    incarnations: HashSet<[u8; 16]>,
    /// The one that was created first, by the hash of the instance's name.
    oldest: HashMap<u64, (u64, [u8; 16])>,
}

impl Living {
    pub(super) fn add(&mut self, source: &Source) {
        self.incarnations.insert(source.incarnation);
        let this = (source.created_ns, source.incarnation);
        let oldest = self.oldest.entry(fnv1a_64(source.instance.as_bytes()));
        oldest
            .and_modify(|oldest| *oldest = this.min(*oldest))
            .or_insert(this);
    }

    fn contains(&self, incarnation: &[u8; 16]) -> bool {
        self.incarnations.contains(incarnation)
    }

    /// Another that lives too, and is older.
    fn older(&self, coming: Coming) -> Option<[u8; 16]> {
        let (_, oldest) = self.oldest.get(&coming.instance_hash)?;
        let is_other = *oldest != coming.incarnation && self.contains(&coming.incarnation);
        is_other.then_some(*oldest)
    }
}

/// What an incarnation is to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Owner,
    /// It is now, and another was: what is left of that one goes first.
    Heir {
        /// That one.
        before: [u8; 16],
        /// Where its newest row ends on the wall clock.
        newest_ns: i128,
    },
    /// It needs a label.
    Second,
}

impl Owners {
    /// As a cursor leaves them: of those that carry no label, the newest.
    pub(super) fn of(cursor: &ExportCursor) -> Self {
        let mut owners = Self::default();
        for (key, progress) in cursor.slices.iter().filter(|(_, progress)| !progress.is_labelled) {
            let owner = Owner {
                incarnation: key.incarnation,
                newest_ns: i128::from(progress.end_ns) + i128::from(progress.clock_offset_ns),
            };
            let newest = owners.0.entry(progress.instance_hash).or_insert(owner);
            if newest.newest_ns < owner.newest_ns {
                *newest = owner;
            }
        }
        owners
    }

    /// What an incarnation is, of which rows come. Those that live do not lose their names.
    pub(super) fn standing(&mut self, coming: Coming, living: &Living) -> Standing {
        let (first_ns, newest_ns) = coming.ends_ns;
        let heir = Owner {
            incarnation: coming.incarnation,
            newest_ns,
        };
        let Some(owner) = self.0.get_mut(&coming.instance_hash) else {
            // The older one's rows may come later, but it was there first.
            let older = living.older(coming).map(|incarnation| Owner {
                incarnation,
                newest_ns: i128::MIN,
            });
            self.0.insert(coming.instance_hash, older.unwrap_or(heir));
            return older.map_or(Standing::Owner, |_| Standing::Second);
        };
        if owner.incarnation == coming.incarnation {
            owner.newest_ns = owner.newest_ns.max(newest_ns);
            return Standing::Owner;
        }
        if coming.is_known || living.contains(&owner.incarnation) || first_ns <= owner.newest_ns {
            return Standing::Second;
        }
        let before = std::mem::replace(owner, heir);
        Standing::Heir {
            before: before.incarnation,
            newest_ns: before.newest_ns,
        }
    }

    /// Whether the name is that incarnation's.
    pub(super) fn is_owner(&self, instance_hash: u64, incarnation: [u8; 16]) -> bool {
        let owner = self.0.get(&instance_hash);
        owner.is_some_and(|owner| owner.incarnation == incarnation)
    }

    /// Forgets those that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8; 16]) -> bool) {
        self.0.retain(|_, owner| keep(&owner.incarnation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coming(incarnation: u8, is_known: bool, first: i128, last: i128) -> Coming {
        Coming {
            instance_hash: 7,
            incarnation: [incarnation; 16],
            is_known,
            ends_ns: (first, last),
        }
    }

    fn living(numbers: &[u8]) -> Living {
        let mut living = Living::default();
        for &number in numbers {
            living.incarnations.insert([number; 16]);
            let oldest = living.oldest.entry(7).or_insert((number.into(), [number; 16]));
            *oldest = (*oldest).min((number.into(), [number; 16]));
        }
        living
    }

    /// Whichever of them comes first.
    #[test]
    fn of_two_that_live_the_older_has_the_name() {
        let both = &living(&[1, 2]);
        let mut owners = Owners::default();
        assert_eq!(owners.standing(coming(2, false, 10, 20), both), Standing::Second);
        assert_eq!(owners.standing(coming(1, false, 10, 20), both), Standing::Owner);
        // One that is gone had it before both.
        let mut owners = Owners::default();
        assert_eq!(owners.standing(coming(3, false, 5, 5), both), Standing::Owner);
    }

    #[test]
    fn a_name_passes_on_when_its_owner_is_gone_and_only_then() {
        let mut owners = Owners::default();
        let (alive, gone) = (&living(&[1, 2, 3]), &living(&[]));
        assert_eq!(owners.standing(coming(1, false, 10, 20), alive), Standing::Owner);
        assert_eq!(owners.standing(coming(2, false, 30, 40), alive), Standing::Second);
        assert_eq!(owners.standing(coming(1, true, 30, 50), alive), Standing::Owner);
        // One that began with the label keeps it.
        assert_eq!(owners.standing(coming(2, true, 60, 70), gone), Standing::Second);
        let heir = Standing::Heir {
            before: [1; 16],
            newest_ns: 50,
        };
        assert_eq!(owners.standing(coming(3, false, 60, 60), gone), heir);
        assert!(owners.is_owner(7, [3; 16]) && !owners.is_owner(7, [1; 16]));
        // What comes late of the one before would go back in time.
        assert_eq!(owners.standing(coming(1, true, 61, 61), gone), Standing::Second);
        assert_eq!(owners.standing(coming(4, false, 60, 90), gone), Standing::Second);
    }
}
