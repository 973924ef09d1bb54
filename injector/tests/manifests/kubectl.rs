//! Manifests through the eyes of kubectl: its reader as one `yamljson` process that answers every
//! test, and kubectl itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

/// The reader, which ends with its standard input.
struct Reader {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The documents that kubectl reads in `text`, or its error.
pub(crate) fn read(text: &str) -> Result<Vec<Value>, String> {
    static READER: OnceLock<Mutex<Reader>> = OnceLock::new();
    let mut reader = READER.get_or_init(|| Mutex::new(start())).lock().unwrap();
    let question = serde_json::to_string(text).unwrap();
    writeln!(reader.questions, "{question}").unwrap();
    let mut answer = String::new();
    reader.answers.read_line(&mut answer).unwrap();
    match serde_json::from_str(&answer).unwrap() {
        Value::Array(documents) => Ok(documents),
        error => Err(error["error"].as_str().unwrap().to_owned()),
    }
}

fn start() -> Reader {
    let program = testbed::tools::program("yamljson").unwrap();
    let mut process = Command::new(program)
        .arg("-batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let questions = process.stdin.take().unwrap();
    let answers = BufReader::new(process.stdout.take().unwrap());
    Reader { _process: process, questions, answers }
}

/// The objects that kubectl itself reads in `text`, the items of Lists among them, each with a
/// label more: it has no command that only prints without asking a server.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, String> {
    let mut process = Command::new(testbed::tools::program("kubectl").unwrap())
        .args(["label", "--local", "--filename=-", "--output=json", "read-by=kubectl"])
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    values.collect::<Result<_, _>>().map_err(|e| e.to_string())
}
