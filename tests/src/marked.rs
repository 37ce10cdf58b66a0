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
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a page was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It cannot be read or written.
    #[error("cannot read or write the page {path}", path = path.display())]
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
    /// There is nothing to put there, or it would end the part early.
    #[error("what is to stand at `{name}` is empty, or has markers in it; the page is as it was")]
    Text {
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
/// The page cannot be read or written, or does not have the markers; the text is none for it. The page is then as it was.
pub fn write(path: &Path, name: &str, text: &str) -> Result<(), PageError> {
    if text.trim().is_empty() || text.contains("<!-- begin: ") || text.contains("<!-- end: ") {
        return Err(PageError::Text {
            name: name.to_owned(),
        });
    }
    let page = replaced(&load(path)?, name, text).ok_or_else(|| no_markers(path, name))?;
    // Beside it and then into its place: a disk that is full costs no word of what people wrote.
    let write = || {
        let path = &fs::canonicalize(path)?;
        let old = fs::OpenOptions::new().write(true).open(path)?;
        let mut new = tempfile::NamedTempFile::new_in(directory(path))?;
        new.write_all(page.as_bytes())?;
        new.as_file().set_permissions(old.metadata()?.permissions())?;
        new.persist(path)?;
        Ok(())
    };
    write().map_err(|source| PageError::File {
        path: path.to_owned(),
        source,
    })
}

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(path);
    if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }
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
    fn what_would_leave_no_part_behind_is_refused_and_the_page_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), PAGE).unwrap();
        for text in ["", " \n", "a\n<!-- end: host -->\nb", "<!-- begin: other -->"] {
            assert!(
                matches!(write(file.path(), "host", text), Err(PageError::Text { .. })),
                "{text}"
            );
        }
        assert_eq!(fs::read_to_string(file.path()).unwrap(), PAGE);
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
