//! The part of a page that a benchmark writes, so that no figure on it is typed by hand.
//!
//! A page marks the part with two lines, which stay where they are:
//!
//! ```text
//! <!-- begin: host -->
//! <!-- end: host -->
//! ```
//!
//! What people write is outside of them, and is never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a page was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It cannot be read or written.
    #[error("{path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A marker is not there once, or they are in the wrong order.
    #[error("{path}: there is not one `<!-- begin: {name} -->` with one `<!-- end: {name} -->` after it; add them where the figures shall be", path = path.display())]
    Markers {
        /// Where.
        path: PathBuf,
        /// Whose.
        name: String,
    },
}

/// Puts `text` between the markers of that name, in place of what is there.
///
/// # Errors
/// The page cannot be read or written, or does not have the markers.
pub fn write(path: &Path, name: &str, text: &str) -> Result<(), PageError> {
    let file = |source| PageError::File {
        path: path.to_owned(),
        source,
    };
    let page = fs::read_to_string(path).map_err(file)?;
    let page = replaced(&page, name, text).ok_or_else(|| PageError::Markers {
        path: path.to_owned(),
        name: name.to_owned(),
    })?;
    fs::write(path, page).map_err(file)
}

/// The page with `text` between the markers, on lines of its own.
fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, rest) = split_once_only(page, &format!("<!-- begin: {name} -->"))?;
    let (_, after) = split_once_only(rest, &format!("<!-- end: {name} -->"))?;
    // Before the first marker a second end would be out of order.
    if before.contains(&format!("<!-- end: {name} -->")) {
        return None;
    }
    let text = text.trim();
    Some(format!(
        "{before}<!-- begin: {name} -->\n\n{text}\n\n<!-- end: {name} -->{after}"
    ))
}

fn split_once_only<'a>(page: &'a str, marker: &str) -> Option<(&'a str, &'a str)> {
    page.split_once(marker)
        .filter(|(_, after)| !after.contains(marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n\n<!-- begin: host -->\nold\n<!-- end: host -->\n\nText.\n";

    #[test]
    fn what_people_wrote_stays_and_a_second_run_changes_nothing() {
        let once = replaced(PAGE, "host", "\n| a |\n").unwrap();
        assert_eq!(
            once,
            "# Title\n\n<!-- begin: host -->\n\n| a |\n\n<!-- end: host -->\n\nText.\n"
        );
        assert_eq!(replaced(&once, "host", "| a |"), Some(once));
    }

    #[test]
    fn a_page_without_just_these_markers_is_left_alone() {
        let (begin, end) = ("<!-- begin: host -->", "<!-- end: host -->");
        for page in [
            String::new(),
            begin.to_owned(),
            format!("{end}{begin}"),
            format!("{begin}{begin}{end}"),
            format!("{begin}{end}{end}"),
            format!("{end}{begin}{end}"),
        ] {
            assert_eq!(replaced(&page, "host", "x"), None, "{page}");
        }
        assert_eq!(replaced(PAGE, "ephemeral", "x"), None);

        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), PAGE).unwrap();
        assert!(matches!(
            write(file.path(), "other", "x"),
            Err(PageError::Markers { .. })
        ));
        assert_eq!(fs::read_to_string(file.path()).unwrap(), PAGE);
    }
}
