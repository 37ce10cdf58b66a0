//! Where output goes, and tables of it.

use comfy_table::{Cell, CellAlignment, Row, Table, presets};
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output. Errors, such as that of a closed pipe, are returned; `println!` would panic.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Says a line on standard error. That nobody takes it is no reason to fail; `eprintln!` would panic.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}
pub(crate) use say;

/// A table without lines: what `grep`, `awk` and eyes can work with.
pub(crate) struct Grid {
    table: Table,
}

/// Which side of its column a cell is on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Grid {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Side)]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (column, (_, side)) in table.column_iter_mut().zip(columns) {
            column.set_cell_alignment(match side {
                Side::Left => CellAlignment::Left,
                Side::Right => CellAlignment::Right,
            });
        }
        Self { table }
    }

    /// A table of names and values, which needs no header.
    pub(crate) fn of_facts() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        Self { table }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table
            .add_row(Row::from(cells.into_iter().map(Cell::new).collect::<Vec<_>>()));
    }

    /// Prints the table, without spaces at the ends of lines.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for line in self.table.lines() {
            // A column's padding is a space on either side.
            writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(&line).trim_end())?;
        }
        Ok(())
    }
}

/// Prints a value as JSON on a line of its own.
pub(crate) fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}
