//! What a writer is made of, and the ways to make it.

use crate::clock::TimeSource;
use crate::create::{Image, Made, into_directory, into_file, into_private_memory};
use crate::error::{CreateError, ReopenError};
use crate::mapping::SlabMemory;
use crate::origin::Origin;
use crate::schema::SchemaConfig;
use crate::slab::Slab;
use crate::writer::Writer;
use rondo_shm_layout::{encode_labels, names};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where slabs go by default.
pub const DEFAULT_BUS: &str = "/dev/shm/rondo";

/// Describes a machine and its slabs; made by [`Writer::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is created before `create`"]
pub struct Builder {
    instance: String,
    labels: Vec<(String, String)>,
    schemas: Vec<SchemaConfig>,
    bus: Option<PathBuf>,
    part: u32,
    time_source: TimeSource,
    origin: Option<Origin>,
    incarnation: Option<[u8; 16]>,
    simulated_start_ns: Option<u64>,
}

impl Builder {
    pub(crate) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            labels: Vec::new(),
            schemas: Vec::new(),
            bus: None,
            part: 0,
            time_source: TimeSource::default(),
            origin: None,
            incarnation: None,
            simulated_start_ns: None,
        }
    }

    /// A label of the whole machine: tenant, image, …
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a schema, and so a slab. Without any, [`SchemaConfig::default`] is used.
    pub fn schema(mut self, schema: SchemaConfig) -> Self {
        self.schemas.push(schema);
        self
    }

    /// The bus directory. Without it `RONDO_BUS`, and without that [`DEFAULT_BUS`], which is made if
    /// it is missing.
    pub fn bus(mut self, directory: impl AsRef<Path>) -> Self {
        self.bus = Some(directory.as_ref().to_owned());
        self
    }

    /// Makes the n-th further slab of a schema whose first is full; with [`Self::incarnation`].
    pub fn part(mut self, part: u32) -> Self {
        self.part = part;
        self
    }

    /// The id of this run, instead of a random one. Not all zero.
    pub fn incarnation(mut self, incarnation: [u8; 16]) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Where handles take the present from.
    pub fn time_source(mut self, source: TimeSource) -> Self {
        self.time_source = source;
        self
    }

    /// Time is not the clock's but what [`Writer::tick_at`] and timestamps say, from `start_ns` on (at
    /// least one interval); the slab says so.
    pub fn simulated_time(mut self, start_ns: u64) -> Self {
        self.simulated_start_ns = Some(start_ns);
        self
    }

    /// Takes process, boot and clocks from the caller: for simulations that repeat to the byte.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Creates the slabs in the bus directory. Takes well under a millisecond for 30 series.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub fn create(self) -> Result<Writer, CreateError> {
        let from_environment = || {
            std::env::var_os("RONDO_BUS")
                .filter(|bus| !bus.is_empty())
                .map(PathBuf::from)
        };
        let bus = self.bus.clone().or_else(from_environment);
        let directory = crate::create::open_bus(bus.as_deref())?;
        self.create_each(|image, name| into_directory(&directory, image, name))
    }

    /// Creates the slabs in an open directory: for a VMM that will be jailed, inside its jail or out.
    /// `path` is for messages only.
    ///
    /// # Errors
    /// See [`CreateError`]; nothing is left behind.
    pub fn create_in(self, directory: BorrowedFd<'_>, path: &Path) -> Result<Writer, CreateError> {
        let directory = crate::create::Directory::of(directory, path)?;
        self.create_each(|image, name| into_directory(&directory, image, name))
    }

    /// Creates one slab in an open, empty file: for a jailed VMM that was handed a descriptor. The
    /// lock belongs to that open file: whoever else has it keeps the slab alive. A file of another user
    /// keeps its mode.
    ///
    /// # Errors
    /// See [`CreateError`]; the file is then as it was.
    pub fn create_on(self, file: OwnedFd) -> Result<Writer, CreateError> {
        if self.schemas.len() > 1 {
            return Err(CreateError::OneSchema(self.schemas.len()));
        }
        let mut file = Some(file);
        self.create_each(|image, _| into_file(file.take().ok_or(CreateError::NotAnEmptyFile)?, image))
    }

    /// A writer whose slabs nobody else sees: what it records costs the same and goes nowhere. For a
    /// VMM that runs on although `create` failed.
    ///
    /// # Errors
    /// Those of [`CreateError`] that are about names and schemas.
    pub fn create_private(self) -> Result<Writer, CreateError> {
        self.create_each(|image, _| into_private_memory(image))
    }

    /// Goes on with a slab whose writer is gone: same boot, same uid. Names and schema are those of the
    /// slab; registering a series that it has gives a handle that goes on. Time comes from the coarse
    /// clock, and slabs of more than 16 MiB are refused.
    ///
    /// # Errors
    /// See [`ReopenError`]; the slab is then as it was.
    pub fn reopen(path: impl AsRef<Path>) -> Result<Writer, ReopenError> {
        crate::reopen::reopen(path.as_ref())
    }

    fn create_each(
        self,
        mut place: impl FnMut(&Image, &str) -> Result<Made, CreateError>,
    ) -> Result<Writer, CreateError> {
        if !names::is_instance(&self.instance) {
            return Err(CreateError::InstanceName(self.instance));
        }
        let labels = encode_labels(&self.labels).map_err(CreateError::Label)?;
        let origin = match self.origin {
            Some(origin) => origin,
            None => Origin::of_this_process().map_err(|source| CreateError::System {
                action: "get randomness for",
                path: PathBuf::from(&self.instance),
                source,
            })?,
        };
        let incarnation = self.incarnation.unwrap_or(origin.incarnation);
        let origin = Origin {
            incarnation,
            ..origin
        };
        let schemas = if self.schemas.is_empty() {
            vec![SchemaConfig::default()]
        } else {
            self.schemas
        };
        for (i, schema) in schemas.iter().enumerate() {
            let why = if schemas[..i].iter().any(|earlier| earlier.name == schema.name) {
                "it is given twice"
            } else if self
                .simulated_start_ns
                .is_some_and(|start| !schema.can_start_at(start))
            {
                "simulated time starts before its first interval, or after 2^63"
            } else {
                continue;
            };
            return Err(CreateError::Schema {
                name: schema.name.clone(),
                why: why.into(),
            });
        }
        let (mut slabs, mut warnings) = (Vec::new(), Vec::new());
        for schema in schemas {
            let image = Image::new(
                &self.instance,
                &labels,
                &schema,
                &origin,
                self.part,
                self.simulated_start_ns.is_some(),
            )?;
            let name = rondo_shm_layout::file_name(&self.instance, &schema.name, &incarnation, self.part);
            let made = place(&image, &name)?;
            let memory = SlabMemory::new(made.memory).map_err(CreateError::Invalid)?;
            let slab = Slab::new(memory, schema, self.time_source, made.path);
            let mut slab = slab.map_err(CreateError::Invalid)?;
            slab.memory.close_when_dropped();
            if let Some(start_ns) = self.simulated_start_ns {
                slab.tick_at(start_ns);
            } else if self.time_source == TimeSource::Tick {
                slab.tick_at(slab.fine_now());
            }
            slabs.push((slab, made.undo));
            warnings.extend(made.warnings);
        }
        warnings.dedup();
        let mut slabs = slabs.into_iter().map(|(slab, undo)| {
            undo.keep();
            slab
        });
        let primary = slabs.next().ok_or(CreateError::OneSchema(0))?;
        let further = slabs.collect();
        Ok(Writer::new(primary, further, warnings))
    }
}
