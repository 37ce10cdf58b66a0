//! The documentation as its readers have it: pages with blocks of code, links, and headings that links lead to.
//!
//! It is parsed as CommonMark with tables, so what counts as a block or a link is what the web shows as one.

use crate::foreign::root;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders that have pages, beside the root.
const FOLDERS: [&str; 3] = ["docs", "spec", "contrib"];

/// One page.
pub struct Page {
    /// From the root of the repository.
    pub path: PathBuf,
    /// Its blocks of code, in order.
    pub blocks: Vec<Block>,
    /// What it leads to: line and target, as it is written.
    pub links: Vec<(usize, String)>,
    /// What can be led to.
    pub anchors: BTreeSet<String>,
}

/// A block of code.
pub struct Block {
    /// Line of its fence, from 1.
    pub line: usize,
    /// What stands behind the fence; empty for none, and for indented blocks.
    pub language: String,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// Parses the text of a page.
    pub fn new(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            links: Vec::new(),
            anchors: BTreeSet::new(),
        };
        let line_of = |offset: usize| text[..offset].matches('\n').count() + 1;
        let mut block: Option<Block> = None;
        let mut heading: Option<String> = None;
        let mut seen = BTreeMap::<String, usize>::new();
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(info) => info.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some(Block {
                        line: line_of(range.start),
                        language,
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line_of(range.start), dest_url.to_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let count = seen.entry(slug.clone()).or_default();
                    page.anchors.insert(match *count {
                        0 => slug,
                        count => format!("{slug}-{count}"),
                    });
                    *count += 1;
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&part);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// A heading as the web makes an anchor of it: small letters, figures, `-` and `_`; spaces become `-`.
fn slug(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

/// Every page of the repository, by path.
pub fn all() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = markdown_in(root(), false);
    paths.extend(
        FOLDERS
            .iter()
            .flat_map(|folder| markdown_in(&root().join(folder), true)),
    );
    paths.sort();
    let page = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a page can be read");
        Page::new(path.strip_prefix(root()).expect("it is in the repository"), &text)
    };
    paths.iter().map(page).collect()
}

/// Markdown files of a folder and, if wanted, of those in it.
fn markdown_in(folder: &Path, deeply: bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found = |path: PathBuf| match path.extension() {
        Some(extension) if extension == "md" => vec![path],
        None if deeply && path.is_dir() => markdown_in(&path, true),
        _ => Vec::new(),
    };
    paths.flat_map(found).collect()
}
