//! What a TARGET stands for, opened: a slab, a machine with a store, a store, or a collector.

use super::remote::Remote;
use super::shelf::Shelf;
use crate::commands::cli::Selection;
use crate::commands::target::{self, Target};
use crate::query::{LiveSlab, Params};
use crate::store::Source;
use anyhow::bail;
use rondo_reader::{Bus, Error, Slab, View};
use std::path::Path;
use std::sync::Arc;

/// Where a query is answered.
pub(super) enum Place {
    /// By this slab alone.
    Slab(Box<Slab>),
    /// By the slabs of one machine and a store.
    Joined {
        instance: String,
        schema: Option<String>,
        slabs: Vec<Slab>,
        store: Shelf,
    },
    /// By a store alone.
    Store(Shelf),
    /// By a collector.
    Remote(Remote),
}

impl Place {
    /// Opens the target, and the store to join it with.
    pub(super) fn open(selection: &Selection, store: Option<&Path>) -> anyhow::Result<Self> {
        let text = selection.target.as_str();
        if let Some(remote) = Remote::parse(text) {
            return Ok(Self::Remote(remote));
        }
        // Whatever it looks like: a directory with archives in it is meant.
        if target::is_store(text) {
            return Ok(Self::Store(Shelf::open(Path::new(text))?));
        }
        match (Target::parse(text), store) {
            (Target::Path(path), _) if path.is_dir() => Ok(Self::Store(Shelf::open(&path)?)),
            (Target::Instance { instance, schema }, Some(store)) => {
                Self::join(instance, schema, store, selection)
            }
            // A path is that slab alone, whatever the environment says of a store.
            (Target::Path(_), _) | (_, None) => Ok(Self::Slab(Box::new(target::open(text, &selection.bus)?))),
        }
    }

    /// The slabs of a machine on the bus, if there are any, and the store.
    fn join(
        instance: String,
        schema: Option<String>,
        store: &Path,
        selection: &Selection,
    ) -> anyhow::Result<Self> {
        let limits = target::limits(&selection.bus);
        let slabs = match Bus::open_instance(&selection.bus.bus, &instance, &limits) {
            Ok(bus) => bus
                .into_slabs()
                .filter(|slab| slab.identity().instance == instance)
                .collect(),
            // What is stored can be read without a bus.
            Err(Error::BusMissing(_)) => Vec::new(),
            Err(error) => bail!(error),
        };
        let store = Shelf::open(store)?;
        Ok(Self::Joined {
            instance,
            schema,
            slabs,
            store,
        })
    }

    /// What is asked for of this place.
    pub(super) fn params(&self, selection: &Selection) -> Params {
        let mut params = selection.params();
        if let Self::Joined { instance, schema, .. } = self {
            params.selector = params.selector.and("instance", instance);
            if let Some(schema) = schema {
                params.selector = params.selector.and("schema", schema);
            }
        }
        params
    }

    /// Does something with what there is, if it is here.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&[LiveSlab<'_>], &Shelf) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let slabs: &[Slab] = match self {
            Self::Slab(slab) => std::slice::from_ref(&**slab),
            Self::Joined { slabs, .. } => slabs,
            Self::Store(_) | Self::Remote(_) => &[],
        };
        let live: Vec<LiveSlab<'_>> = slabs
            .iter()
            .map(|slab| Ok(live(slab, slab.view()?)))
            .collect::<Result<_, Error>>()?;
        match self {
            Self::Joined { store, .. } | Self::Store(store) => act(&live, store),
            Self::Slab(_) | Self::Remote(_) => act(&live, &Shelf::empty()),
        }
    }
}

/// A slab without a collector: nothing is consolidated yet.
pub(super) fn live(slab: &Slab, view: View) -> LiveSlab<'_> {
    LiveSlab {
        source: Arc::new(Source::from(slab)),
        slab: Some((slab, view)),
        runs: Vec::new(),
        open: Vec::new(),
    }
}
