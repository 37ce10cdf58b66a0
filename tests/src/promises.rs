//! The table of `docs/promises.md`.

/// A row of it.
pub struct Promise<'a> {
    /// `S1`, or nothing.
    pub number: &'a str,
    /// What is promised.
    pub promise: &'a str,
    /// What holds it.
    pub held_by: &'a str,
    /// What was last measured of it, or nothing.
    pub figures: &'a str,
}

/// The rows of a page, or what is wrong with one.
pub fn promises(page: &str) -> impl Iterator<Item = Result<Promise<'_>, String>> {
    let rows = page.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let row = row.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = row.unwrap_or_default().split('|').map(str::trim).collect();
        let &[number, promise, held_by, figures] = &cells[..] else {
            return Err(format!("not four columns: {cells:?}"));
        };
        Ok(Promise {
            number,
            promise,
            held_by,
            figures,
        })
    })
}

/// The texts in back quotes.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
