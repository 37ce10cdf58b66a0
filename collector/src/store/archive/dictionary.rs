//! The layouts that the extent being filled has already.

use crate::store::Layout;
use std::collections::HashMap;
use std::sync::Arc;

/// Layouts that are remembered by address, to spare encoding them to find out that they are there.
const RECENT_MAX: usize = 256;

/// Where a layout's block is in the extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayoutPlace {
    pub offset: u32,
    pub length: u32,
    pub crc: u32,
}

/// Layouts by their bytes. Those of an extent together are never larger than it.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    by_bytes: HashMap<Box<[u8]>, LayoutPlace>,
    /// The layout is kept so that its address stays its own.
    recent: HashMap<usize, (Arc<Layout>, LayoutPlace)>,
}

impl Dictionary {
    pub(super) fn clear(&mut self) {
        self.by_bytes.clear();
        self.recent.clear();
    }

    /// The same layout, the same object.
    pub(super) fn recent(&self, layout: &Arc<Layout>) -> Option<LayoutPlace> {
        self.recent.get(&address(layout)).map(|(_, place)| *place)
    }

    /// The same layout, by its bytes.
    pub(super) fn get(&self, bytes: &[u8]) -> Option<LayoutPlace> {
        self.by_bytes.get(bytes).copied()
    }

    pub(super) fn insert(&mut self, bytes: Vec<u8>, place: LayoutPlace) {
        self.by_bytes.insert(bytes.into(), place);
    }

    pub(super) fn remember(&mut self, layout: &Arc<Layout>, place: LayoutPlace) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.clear();
        }
        self.recent.insert(address(layout), (layout.clone(), place));
    }
}

fn address(layout: &Arc<Layout>) -> usize {
    Arc::as_ptr(layout).addr()
}
