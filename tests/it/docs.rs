//! What the documents say of the tests is so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The scenarios of the call path.
fn required() -> Vec<String> {
    let ranges = [
        1..=18,
        20..=20,
        22..=30,
        34..=40,
        42..=58,
        60..=61,
        69..=93,
        95..=101,
        103..=103,
        105..=107,
        108..=108,
        110..=112,
        117..=123,
    ];
    let numbers = ranges.into_iter().flatten().map(|number: u32| format!("S-{number:02}"));
    numbers.chain(["S-18a", "S-18b", "S-18c"].map(str::to_owned)).collect()
}

/// The scenarios of the guard against a key that is used twice. Its tests come with it, in one file; until then there is
/// nothing to look at.
const OF_THE_GUARD: [&str; 4] = ["S-27", "S-28", "S-29", "S-30"];
const GUARD: &str = "tests/it/guard.rs";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of all tables: the first cell, and what stands between backticks in the last.
fn rows(document: &str) -> Vec<(String, Vec<String>)> {
    let lines = document.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |"));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [first, _, last] = cells[..] else { panic!("not three cells: {line}") };
        let named = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (first.to_owned(), named)
    };
    lines.map(row).collect()
}

/// The names of the tests in a source file.
fn tests_in(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some((name, _)) = function.and_then(|function| function.split_once('(')) {
            if is_test {
                names.insert(name.to_owned());
            }
            is_test = false;
        }
    }
    names
}

#[test]
fn every_scenario_of_the_call_path_has_a_test_and_every_test_named_exists() {
    let rows = rows(&read(&root().join("docs/scenarios.md")));
    let numbers: Vec<_> =
        rows.iter().map(|(first, _)| first).filter(|first| first.starts_with("S-")).collect();
    let known: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(known.len(), numbers.len(), "a number stands there twice");
    let missing: Vec<_> = required().into_iter().filter(|number| !known.contains(&number)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");

    let modules = read(&root().join("tests/it/main.rs"));
    let mut sources = BTreeMap::new();
    for (first, named) in rows {
        assert!(!named.is_empty(), "{first} names no test");
        for named in named {
            let (file, test) = match named.split_once("::") {
                Some((file, test)) => (file, Some(test)),
                None => (&*named, None),
            };
            if file == GUARD && OF_THE_GUARD.contains(&&*first) && !root().join(file).exists() {
                continue; // Skipped, see `OF_THE_GUARD`.
            }
            let tests = sources.entry(file.to_owned()).or_insert_with(|| tests_in(&read(&root().join(file))));
            match test {
                Some(test) => assert!(tests.contains(test), "{first}: there is no test {test} in {file}"),
                None => {
                    assert!(OF_THE_GUARD.contains(&&*first) && file == GUARD, "{first}: {named} is no test");
                    assert!(!tests.is_empty(), "{file} has no tests");
                }
            }
            if let Some(module) = file.strip_prefix("tests/it/").and_then(|file| file.strip_suffix(".rs")) {
                // A part of a promise is in a folder of its name.
                let (module, within) = match module.split_once('/') {
                    Some((promise, part)) => (part, read(&root().join(format!("tests/it/{promise}.rs")))),
                    None => (module, modules.clone()),
                };
                assert!(within.lines().any(|line| line == format!("mod {module};")), "{file} is not run");
            }
        }
    }
}

#[test]
fn the_check_knows_a_test_from_another_function_and_a_row_from_its_head() {
    let source = "fn helper() {}\n#[tokio::test(start_paused = true)]\nasync fn one() {}\n\
                  #[test]\n#[ignore]\nfn two(x in 0..3) {}\nasync fn three() {}\n";
    assert_eq!(tests_in(source), ["one", "two"].map(str::to_owned).into());
    let table = "| number | what | test |\n|---|---|---|\n| S-01 | x `y` | `a.rs::b` `c.rs::d` |\n";
    assert_eq!(rows(table), [("S-01".to_owned(), vec!["a.rs::b".to_owned(), "c.rs::d".to_owned()])]);
}
