//! Layouts that were read: machines of one kind share one, in whatever extent it was found.

use crate::store::Layout;
use std::collections::HashMap;
use std::sync::Arc;

/// Layouts kept, before all are forgotten.
const LAYOUTS_MAX: usize = 256;
/// Places kept.
const PLACES_MAX: usize = 8192;

/// Where a layout is: nonce of the extent's use, and offset in it.
pub(super) type PlaceKey = (u64, u32);

/// What has been read lately.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    by_place: HashMap<PlaceKey, Arc<Layout>>,
    by_bytes: HashMap<Box<[u8]>, Arc<Layout>>,
}

impl Layouts {
    pub(super) fn at(&self, place: PlaceKey) -> Option<Arc<Layout>> {
        self.by_place.get(&place).cloned()
    }

    pub(super) fn of(&self, bytes: &[u8]) -> Option<Arc<Layout>> {
        self.by_bytes.get(bytes).cloned()
    }

    pub(super) fn insert(&mut self, place: PlaceKey, bytes: &[u8], layout: &Arc<Layout>) {
        if self.by_bytes.len() >= LAYOUTS_MAX || self.by_place.len() >= PLACES_MAX {
            self.by_bytes.clear();
            self.by_place.clear();
        }
        self.by_bytes
            .entry(bytes.into())
            .or_insert_with(|| layout.clone());
        self.by_place.insert(place, layout.clone());
    }
}
