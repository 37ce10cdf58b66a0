//! Which slab is meant: a path, an instance on the bus, or one of its schemas.
//!
//! What ends in `.slab` or starts with `/` or `.` is a path. Anything else is `INSTANCE` or
//! `INSTANCE/SCHEMA`. Where that leaves several slabs, live ones come before others, and newer ones
//! before older; the choice is explained on standard error.

use crate::commands::cli::BusArgs;
use crate::commands::output::say;
use crate::show;
use anyhow::{Context, bail};
use rondo_reader::{Bus, Error, Limits, Liveness, Slab};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// What a TARGET stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file.
    Path(PathBuf),
    /// A machine on the bus, and possibly one of its schemas.
    Instance {
        instance: String,
        schema: Option<String>,
    },
}

impl Target {
    pub(crate) fn parse(text: &str) -> Self {
        if text.ends_with(".slab") || text.starts_with(['/', '.']) {
            return Self::Path(text.into());
        }
        match text.split_once('/') {
            Some((instance, schema)) => Self::Instance {
                instance: instance.into(),
                schema: Some(schema.into()),
            },
            None => Self::Instance {
                instance: text.into(),
                schema: None,
            },
        }
    }
}

/// Whether that is the directory of a store.
pub(crate) fn is_store(text: &str) -> bool {
    Path::new(text).join("tier-0.archive").is_file()
}

/// The limits that the options give.
pub(crate) fn limits(args: &BusArgs) -> Limits {
    Limits {
        slab_bytes_max: args.slab_max << 20,
        ..Limits::default()
    }
}

/// The one slab that `text` stands for.
pub(crate) fn open(text: &str, args: &BusArgs) -> anyhow::Result<Slab> {
    match Target::parse(text) {
        Target::Path(path) => Ok(Slab::open(path, &limits(args))?),
        Target::Instance { instance, schema } => find(&instance, schema.as_deref(), args),
    }
}

fn find(instance: &str, schema: Option<&str>, args: &BusArgs) -> anyhow::Result<Slab> {
    let bus = Bus::open_instance(&args.bus, instance, &limits(args))?;
    let refused: Vec<String> = bus
        .refused()
        .iter()
        .map(|refused| refused.error.to_string())
        .collect();
    let mut found = Vec::new();
    for slab in bus
        .into_slabs()
        .filter(|slab| slab.identity().instance == instance)
    {
        let liveness = match slab.liveness() {
            Ok(liveness) => liveness,
            Err(Error::Lost(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        found.push((liveness, slab));
    }
    found.sort_by_key(|(liveness, slab)| {
        let identity = slab.identity();
        (
            *liveness != Liveness::Live,
            Reverse(identity.created_realtime_ns),
            identity.schema.clone(),
            identity.part,
        )
    });
    if found.is_empty() {
        return unknown(instance, &refused, args);
    }
    let list = || found.iter().map(describe).collect::<Vec<_>>().join(", ");
    let Some(position) = found
        .iter()
        .position(|(_, slab)| schema.is_none_or(|schema| slab.identity().schema == schema))
    else {
        bail!(
            "{instance} has no slab of schema {}; it has {}",
            schema.unwrap_or_default(),
            list()
        );
    };
    let others = found
        .iter()
        .filter(|(_, slab)| schema.is_none_or(|schema| slab.identity().schema == schema))
        .count();
    if others > 1 {
        let (chosen, all) = (describe(&found[position]), list());
        say!("rondo: {instance} has {all}; this is {chosen} (choose with INSTANCE/SCHEMA, or by path)");
    }
    Ok(found.swap_remove(position).1)
}

/// `vmm (live, 3f2a91c0)`.
fn describe((liveness, slab): &(Liveness, Slab)) -> String {
    let identity = slab.identity();
    let part = if identity.part == 0 {
        String::new()
    } else {
        format!("-{}", identity.part)
    };
    format!(
        "{} ({liveness}, {}{part})",
        identity.schema,
        show::hex(&identity.incarnation[..4])
    )
}

fn unknown(instance: &str, refused: &[String], args: &BusArgs) -> anyhow::Result<Slab> {
    if let Some(reason) = refused.first() {
        bail!("no slab of {instance} can be read: {reason}");
    }
    let bus = Bus::open(&args.bus, &limits(args))?;
    let mut names: Vec<&str> = bus
        .slabs()
        .map(|slab| slab.identity().instance.as_str())
        .collect();
    names.dedup();
    let nearest = names.iter().max_by(|a, b| {
        let likeness = |name: &str| strsim::jaro_winkler(instance, name);
        likeness(a).total_cmp(&likeness(b))
    });
    let hint = match nearest {
        Some(name) if strsim::jaro_winkler(instance, name) > 0.7 => format!("did you mean {name}?"),
        Some(_) => format!("`rondo ls` shows the {} that are there", names.len()),
        None => "there are no slabs on it".to_owned(),
    };
    Err(anyhow::anyhow!(hint))
        .with_context(|| format!("no slab of {instance} on the bus {}", args.bus.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_path_is_one() {
        for path in ["/dev/shm/x", "./a/b", "../a", "a.slab", "dir/a.slab"] {
            assert_eq!(Target::parse(path), Target::Path(path.into()));
        }
        let instance = |instance: &str, schema: Option<&str>| Target::Instance {
            instance: instance.into(),
            schema: schema.map(Into::into),
        };
        assert_eq!(Target::parse("vm-1"), instance("vm-1", None));
        assert_eq!(Target::parse("vm.1/vmm"), instance("vm.1", Some("vmm")));
    }
}
