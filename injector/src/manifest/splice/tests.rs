//! The exact bytes of splices.

use serde_json::{Value, json};

use super::Splices;
use crate::manifest::overlay::Overlay;
use crate::manifest::value;
use crate::patch::{Operation, Patch, Pointer};

/// The text after a patch: `[op, path, value]` each.
fn spliced(text: &str, operations: &Value) -> String {
    let reading = value::read(text).unwrap();
    let (tree, before) = &reading.documents[0];
    let patch: Patch = operations.as_array().unwrap().iter().map(operation).collect();
    let mut overlay = Overlay::new(&tree.root, before);
    overlay.apply(text, &patch, &Pointer::root()).unwrap();
    overlay.settle();
    let mut splices = Splices::new(text);
    splices.document(&overlay, &tree.root).unwrap();
    let spliced = splices.finish();
    let mut expected = before.clone();
    patch.apply(&mut expected).unwrap();
    assert_eq!(value::read(&spliced).unwrap().documents[0].1, expected, "{spliced}");
    spliced
}

fn operation(operation: &Value) -> Operation<'static> {
    let path = operation[1].as_str().unwrap().split('/').skip(1);
    let path = path.fold(Pointer::root(), |path, step| path.child(step));
    let value = operation[2].clone();
    match operation[0].as_str().unwrap() {
        "add" => Operation::Add { path, value: value.into() },
        "replace" => Operation::Replace { path, value: value.into() },
        _ => Operation::Remove { path },
    }
}

#[test]
fn what_comes_stands_below_the_comments_of_what_was_there() {
    for (before, operations, after) in [
        // Deeper comments belong to the last item, others to what follows.
        (
            "a:\n- b: 1\n  # of b\n\n  # of b too\n# of c\nc: 2\n",
            json!([["add", "/a/-", {"d": "yes"}]]),
            "a:\n- b: 1\n  # of b\n\n  # of b too\n- d: 'yes'\n# of c\nc: 2\n",
        ),
        // Comments above the first item stay above it.
        (
            "a: # of a\n  # of b\n  - b\n",
            json!([["add", "/a/0", "first"]]),
            "a: # of a\n  - first\n  # of b\n  - b\n",
        ),
        // A mapping's own comments come before its new keys, its parent's behind.
        (
            "m:\n    k: 1 # one\n    # of m\n  # of nobody\nn: 2\n",
            json!([["add", "/m/l", [1]]]),
            "m:\n    k: 1 # one\n    # of m\n    l:\n    - 1\n  # of nobody\nn: 2\n",
        ),
        // An empty value's comment stays on its line.
        (
            "a:   {}   # none\nb:\n# below\n",
            json!([["add", "/a", {"x": 1}], ["add", "/b", ["z"]]]),
            "a:   # none\n  x: 1\nb:\n- z\n# below\n",
        ),
        // Inner before outer, where both end.
        (
            "a:\n- b: 1",
            json!([["add", "/a/0/c", 2], ["add", "/a/-", 3], ["add", "/d", 4]]),
            "a:\n- b: 1\n  c: 2\n- 3\nd: 4",
        ),
    ] {
        assert_eq!(spliced(before, &operations), after);
    }
}

#[test]
fn new_lines_follow_the_document() {
    for (before, operations, after) in [
        // Four spaces and wide dashes.
        (
            "a:\n    b:\n        -   c: 1\n",
            json!([["add", "/a/b/-", {"d": {"e": [{"f": 1}]}}]]),
            "a:\n    b:\n        -   c: 1\n        -   d:\n                e:\n                    -   f: 1\n",
        ),
        // Line ends.
        (
            "a:\r\n- b\r\nc: ~\r\n",
            json!([["add", "/a/-", "d"], ["add", "/c", {"e": 1}]]),
            "a:\r\n- b\r\n- d\r\nc:\r\n  e: 1\r\n",
        ),
        // Flow on one line, with and without a trailing comma; over several; nothing there yet.
        (
            "a: {b: [1, 2], c: [3,]}\n",
            json!([["add", "/a/b/0", 0], ["add", "/a/c/-", "on"], ["add", "/a/d", {}]]),
            "a: {b: [0, 1, 2], c: [3, 'on',], d: {}}\n",
        ),
        (
            "a: [\n    1, # one\n    2 # two\n  ]\n",
            json!([["add", "/a/-", 3]]),
            "a: [\n    1, # one\n    2,\n    3 # two\n  ]\n",
        ),
        ("a: { # c\n }\n", json!([["add", "/a/b", 1]]), "a: {b: 1 # c\n }\n"),
        ("{a: , b: [ ]}\n", json!([["add", "/a", [1]], ["add", "/b/-", 2]]), "{a: [1] , b: [2]}\n"),
        // JSON: minified, pretty with tabs, null.
        (
            r#"{"a":[1],"b":null}"#,
            json!([["add", "/a/-", {"c": "d"}], ["add", "/b", ["e"]]]),
            r#"{"a":[1,{"c":"d"}],"b":["e"]}"#,
        ),
        (
            "{\n\t\"a\": [\n\t\t1\n\t],\n\t\"b\": {}\n}\n",
            json!([["add", "/a/-", {"c": 2}], ["add", "/b", {"d": []}], ["add", "/e", [3]]]),
            "{\n\t\"a\": [\n\t\t1,\n\t\t{\n\t\t\t\"c\": 2\n\t\t}\n\t],\n\t\"b\": {\n\t\t\"d\": []\n\t},\n\t\"e\": [\n\t\t3\n\t]\n}\n",
        ),
    ] {
        assert_eq!(spliced(before, &operations), after);
    }
}

#[test]
fn what_goes_leaves_nothing_behind() {
    for (before, operations, after) in [
        ("a: 1\nb:\n- c # d\n- e\n# f\n", json!([["remove", "/b/0"]]), "a: 1\nb:\n- e\n# f\n"),
        ("a: 1\nb:\n- c", json!([["remove", "/b"]]), "a: 1"),
        ("a: 1\r\nb:\r\n- c", json!([["remove", "/b/0"]]), "a: 1\r\nb: []"),
        ("a:\n  b: |\n    x\n\nc: 1\n", json!([["remove", "/a/b"]]), "a: {}\n\nc: 1\n"),
        ("[1, 2, 3]\n", json!([["remove", "/0"], ["remove", "/1"]]), "[2]\n"),
        ("{ a: 1, b: 2 }\n", json!([["remove", "/a"], ["remove", "/b"]]), "{}\n"),
        // As an empty mapping may have been that got its first member from us.
        ("{a: 1 # c\n }\n", json!([["remove", "/a"]]), "{ # c\n }\n"),
        ("a: {b: 1}\n", json!([["replace", "/a/b", null]]), "a: {b: null}\n"),
        // Both of two equal keys go, or the first would count again.
        ("a: 1\nb: 2\na: 3\n", json!([["remove", "/a"]]), "b: 2\n"),
    ] {
        assert_eq!(spliced(before, &operations), after);
    }
}
