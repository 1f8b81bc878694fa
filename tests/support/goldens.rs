//! The peer's answers.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::archives::testdata;

/// An answer in JSON: the object of the one archive that was asked about.
pub fn object(path: impl AsRef<Path>) -> Value {
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()));
    match serde_json::from_slice(&text).unwrap() {
        Value::Array(mut objects) => {
            assert_eq!(objects.len(), 1);
            objects.remove(0)
        }
        other => other,
    }
}

/// A text of testdata/golden/.
pub fn text(name: &str) -> String {
    fs::read_to_string(testdata(&format!("golden/{name}"))).unwrap()
}

/// A table by its header: for each row the cells under the names of the columns. Columns are set off by three blanks or more,
/// and an empty cell is found by where its column begins.
pub fn table(text: &str) -> Vec<Vec<(String, String)>> {
    let mut lines = text.lines().skip_while(|line| !is_header(line));
    let Some(header) = lines.next() else { return Vec::new() };
    let starts = column_starts(header);
    let cells = |line: &str| -> Vec<(String, String)> {
        let characters: Vec<char> = line.chars().collect();
        let cell = |from: usize, until: usize| -> String {
            characters.iter().skip(from).take(until - from).collect::<String>().trim().to_owned()
        };
        let ends = starts[1..].iter().copied().chain([usize::MAX]);
        starts.iter().zip(ends).map(|(&start, end)| (cell_of(header, start, end), cell(start, end))).collect()
    };
    lines.skip(1).take_while(|line| !line.trim().is_empty()).map(cells).collect()
}

fn cell_of(header: &str, start: usize, end: usize) -> String {
    header.chars().skip(start).take(end.saturating_sub(start)).collect::<String>().trim().to_owned()
}

fn is_header(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|c| c.is_ascii_uppercase() || "() ".contains(c))
}

fn column_starts(header: &str) -> Vec<usize> {
    let bytes = header.as_bytes();
    (0..bytes.len())
        .filter(|&at| bytes[at] != b' ' && (at == 0 || (at >= 2 && &bytes[at - 2..at] == b"  ")))
        .collect()
}

#[test]
fn tables_are_read_by_their_columns() {
    let rows = table("\nA   LONG NAME   C\n-   ---------   -\n1               3\n22  y           z\n");
    let cells: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(|(_, cell)| cell.as_str()).collect()).collect();
    assert_eq!(cells, [["1", "", "3"], ["22", "y", "z"]]);
    assert_eq!(rows[0][1].0, "LONG NAME");
}
