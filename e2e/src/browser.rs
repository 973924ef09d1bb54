//! A browser without a screen: Debian's Chromium, driven by WebDriver
//! (<https://www.w3.org/TR/webdriver2/>) over plain HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testbed::{Guard, Server, free_ports, tools};

use crate::mesh::{Client, PATIENCE, eventually, loopback};

/// What it is started with: as root it can't have a sandbox, and nobody is to hear from it.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// One window. It ends with its driver, and that with the guard it was started under.
#[derive(Debug)]
pub struct Browser {
    driver: SocketAddr,
    /// The path of the session.
    session: String,
    _server: Server,
}

impl Browser {
    /// Starts one with a profile of its own; `Err`: why there is none here.
    pub async fn start(guard: &Guard, name: &str) -> Result<Result<Self, String>> {
        let found = ["chromium", "chromedriver"].map(usable);
        let [chromium, chromedriver] = match found {
            [Ok(chromium), Ok(chromedriver)] => [chromium, chromedriver],
            [Err(reason), _] | [_, Err(reason)] => return Ok(Err(reason)),
        };
        let [port] = free_ports()?;
        let mut command = Command::new(chromedriver);
        // What it keeps for itself goes with the guard. It opens a socket there, whose path must not
        // be long.
        let folder = tempfile::Builder::new().prefix("b").tempdir_in(guard.folder())?.keep();
        command.arg(format!("--port={port}")).env("HOME", &folder).env("TMPDIR", &folder);
        let server = guard.spawn(&format!("chromedriver-{name}"), &mut command)?;
        let driver = loopback(port);
        server
            .wait_until("accepting", PATIENCE, || std::net::TcpStream::connect(driver).is_ok())?;
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", folder.join("profile").display()));
        flags.push("--window-size=1280,900".to_owned());
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": chromium, "args": flags},
        }}});
        let mut browser = Self { driver, session: "/session".to_owned(), _server: server };
        let made = browser.ask("POST", "", &wanted).await?;
        let id = made["sessionId"].as_str().context("a session")?;
        browser.session = format!("/session/{id}");
        Ok(Ok(browser))
    }

    /// Opens a page, and returns when it has loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", &json!({"url": url})).await.map(drop)
    }

    /// What a script returns; it finds its arguments in `arguments`.
    pub async fn script(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": arguments})).await
    }

    /// The text of all elements that a selector finds, as a reader sees it: what is hidden has
    /// none.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let script = "return [...document.querySelectorAll(arguments[0])]
            .map(one => one.checkVisibility() ? one.innerText : '').join('\\n').trim()";
        let text = self.script(script, &[json!(selector)]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the text there is as `wanted` has it.
    pub async fn until(
        &self,
        selector: &str,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        eventually(&format!("{what} in {selector}"), async || {
            let text = self.text(selector).await?;
            Ok(if wanted(&text) { Ok(text) } else { Err(text) })
        })
        .await
    }

    /// Waits until the text there has `part` in it.
    pub async fn shows(&self, selector: &str, part: &str) -> Result<String> {
        self.until(selector, part, |text| text.contains(part)).await
    }

    /// Clicks on the one element that a selector finds.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/element", &found).await?;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str());
        let path = format!("/element/{}/click", id.context("an element")?);
        self.ask("POST", &path, &json!({})).await.map(drop)
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let key = |kind: &str, key: char| json!({"type": kind, "value": key.to_string()});
        let all: Vec<Value> =
            keys.chars().flat_map(|one| [key("keyDown", one), key("keyUp", one)]).collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": all}]});
        self.ask("POST", "/actions", &actions).await.map(drop)
    }

    /// Makes the window so large, and says what its user likes: `light` or `dark`.
    pub async fn look(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.tools("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tools("Emulation.setEmulatedMedia", scheme).await
    }

    async fn tools(&self, command: &str, parameters: Value) -> Result<()> {
        let command = json!({"cmd": command, "params": parameters});
        self.ask("POST", "/goog/cdp/execute", &command).await.map(drop)
    }

    /// Writes a picture of the window.
    pub async fn picture(&self, file: &Path) -> Result<()> {
        let picture = self.ask("GET", "/screenshot", &Value::Null).await?;
        fs::write(file, STANDARD.decode(picture.as_str().context("a picture")?)?)?;
        Ok(())
    }

    /// What was written to the console since the last question.
    pub async fn console(&self) -> Result<Vec<String>> {
        let log = self.ask("POST", "/se/log", &json!({"type": "browser"})).await?;
        let lines = log.as_array().into_iter().flatten();
        Ok(lines.map(|line| line["message"].to_string()).collect())
    }

    /// Every address that was asked for something since the last question.
    pub async fn requested(&self) -> Result<Vec<String>> {
        let log = self.ask("POST", "/se/log", &json!({"type": "performance"})).await?;
        let events = log.as_array().into_iter().flatten();
        let messages = events.filter_map(|event| event["message"].as_str());
        let mut urls = Vec::new();
        for message in messages {
            let event: Value = serde_json::from_str(message)?;
            let event = &event["message"];
            if event["method"] == "Network.requestWillBeSent" {
                let url = event["params"]["request"]["url"].as_str();
                urls.push(url.unwrap_or_default().to_owned());
            }
        }
        Ok(urls)
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let path = format!("{}{path}", self.session);
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let reply = Client::once(self.driver, method, &path, &body).await?;
        let mut answer = reply.json()?;
        if reply.status != 200 {
            let value = &answer["value"];
            bail!("{method} {path}: {}: {}", value["error"], value["message"]);
        }
        Ok(answer["value"].take())
    }
}

fn usable(name: &str) -> Result<std::path::PathBuf, String> {
    let program = tools::program(name).map_err(|error| format!("{error:#}"))?;
    match Command::new(&program).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(program),
        other => Err(format!("{name} does not run here: {other:?}")),
    }
}
