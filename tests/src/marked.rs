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

/// What is between the markers of that name: also a way to know, before a benchmark takes its time, that it has a place.
///
/// # Errors
/// The page cannot be read, or does not have the markers.
pub fn read(path: &Path, name: &str) -> Result<String, PageError> {
    let page = load(path)?;
    let [_, text, _] = parts(&page, name).ok_or_else(|| no_markers(path, name))?;
    Ok(text.trim().to_owned())
}

/// Puts `text` between the markers of that name, in place of what is there.
///
/// # Errors
/// The page cannot be read or written, or does not have the markers.
pub fn write(path: &Path, name: &str, text: &str) -> Result<(), PageError> {
    let page = replaced(&load(path)?, name, text).ok_or_else(|| no_markers(path, name))?;
    fs::write(path, page).map_err(|source| PageError::File {
        path: path.to_owned(),
        source,
    })
}

fn load(path: &Path) -> Result<String, PageError> {
    fs::read_to_string(path).map_err(|source| PageError::File {
        path: path.to_owned(),
        source,
    })
}

fn no_markers(path: &Path, name: &str) -> PageError {
    PageError::Markers {
        path: path.to_owned(),
        name: name.to_owned(),
    }
}

/// The page with `text` between the markers, on lines of its own.
fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let [before, _, after] = parts(page, name)?;
    let text = text.trim();
    Some(format!(
        "{before}<!-- begin: {name} -->\n\n{text}\n\n<!-- end: {name} -->{after}"
    ))
}

/// What is before, between and after the markers.
fn parts<'a>(page: &'a str, name: &str) -> Option<[&'a str; 3]> {
    let (begin, end) = (format!("<!-- begin: {name} -->"), format!("<!-- end: {name} -->"));
    let (before, rest) = split_once_only(page, &begin)?;
    let (text, after) = split_once_only(rest, &end)?;
    // Before the first marker a second end would be out of order.
    (!before.contains(&end)).then_some([before, text, after])
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
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), PAGE).unwrap();
        assert_eq!(read(file.path(), "host").unwrap(), "old");
        write(file.path(), "host", "| a |\n\n| b |\n").unwrap();
        assert_eq!(read(file.path(), "host").unwrap(), "| a |\n\n| b |");
        assert!(matches!(
            read(file.path(), "other"),
            Err(PageError::Markers { .. })
        ));
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
