//! The page has a row for each word with which a pod is left without a sidecar.

use e2e::installation::checkout;
use injector::Reason;

#[test]
fn every_word_has_its_row_in_the_order_of_the_decision() {
    let page = std::fs::read_to_string(checkout(super::PAGE)).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let words: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(words, Reason::ALL.map(Reason::as_str), "of the table in {}", super::PAGE);
    for row in rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}
