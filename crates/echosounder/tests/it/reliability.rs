//! The tests and the rows of `cargo xtask faults` that docs/reliability.md names exist.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Adds the Rust files below a folder.
fn add_sources(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
}

/// Returns the code spans of a Markdown text that has blocks of code with three backticks.
fn spans(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n'))
}

/// Returns the numbers and names of the rows in the table of attacks.
fn rows(page: &str) -> impl Iterator<Item = (u32, &str)> {
    page.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("| ")?.split_once(" `")?;
        Some((number.parse().ok()?, rest.split_once('`')?.0))
    })
}

#[test]
fn page_names_tests_and_rows_that_exist() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let (mut crates, mut faults) = (Vec::new(), Vec::new());
    add_sources(&root().join("crates"), &mut crates);
    add_sources(&root().join("xtask/src/faults"), &mut faults);

    let exists = |span: &str| {
        let (modules, name) = span.rsplit_once("::").unwrap();
        let definition = format!("fn {name}(");
        // Unit tests are in a module `tests` of their file, or in a file of that name.
        let file = modules.strip_suffix("::tests").unwrap_or(modules).replace("::", "/");
        crates.iter().any(|(path, text)| {
            let is_unit = text.contains("mod tests {") || path.ends_with("tests.rs");
            let is_in = ["", "/mod", "/tests"].iter().any(|rest| path.ends_with(format!("{file}{rest}.rs")));
            is_in && is_unit == modules.ends_with("::tests") && text.contains(&definition)
        })
    };
    let tests: Vec<&str> = spans(&page).filter(|span| span.contains("::")).collect();
    assert!(50 < tests.len(), "{tests:?}");
    let missing: Vec<&&str> = tests.iter().filter(|span| !exists(span)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");

    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let faults: String = faults.iter().map(|(_, text)| words(text)).collect();
    let rows: Vec<(u32, &str)> = rows(&page).collect();
    assert!(20 < rows.len(), "{rows:?}");
    let is_row = |&(number, name): &(u32, &str)| faults.contains(&format!("{number}, \"{name}\","));
    assert!(rows.iter().all(is_row), "a row is missing: {rows:?}");
}
