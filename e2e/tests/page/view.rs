//! A mesh and a browser that looks at the page of one of its proxies.

use std::path::PathBuf;

use anyhow::{Context, Result};
use e2e::browser::Browser;
use e2e::mesh::{Mesh, Sidecar};

/// A browser on the page of a proxy.
pub(crate) struct View {
    pub(crate) browser: Browser,
    name: String,
}

impl View {
    /// Opens the page of `proxy`, as a port-forward would show it. `None`: there is no browser
    /// here, and the test is skipped.
    pub(crate) async fn open(mesh: &Mesh, proxy: &Sidecar) -> Result<Option<Self>> {
        let test = std::thread::current().name().unwrap_or("page").replace("::", "-");
        let browser = match Browser::start(mesh.guard(), &test).await? {
            Ok(browser) => browser,
            Err(reason) => {
                testbed::skip(&reason);
                return Ok(None);
            }
        };
        browser.look(1280, 900, "light").await?;
        browser.open(&format!("http://localhost:{}/", proxy.admin.port())).await?;
        Ok(Some(Self { browser, name: test }))
    }

    /// Waits until the row of a service has `part` in the column.
    pub(crate) async fn row(&self, service: &str, column: &str, part: &str) -> Result<String> {
        self.row_is(service, column, part, |text| text.contains(part)).await
    }

    /// Waits until the column of a service's row is as `wanted` has it.
    pub(crate) async fn row_is(
        &self,
        service: &str,
        column: &str,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let place = format!("{} [data-label=\"{column}\"]", self.selector(service).await?);
        self.browser.until(&place, what, wanted).await
    }

    /// The row of a service, once there is one.
    async fn selector(&self, service: &str) -> Result<String> {
        self.browser.shows("#rows", service).await?;
        let script = "const rows = [...document.querySelectorAll('#rows > tr:not(.detail)')];
            const row = rows.find(row => row.querySelector('.open').innerText === arguments[0]);
            row.id = 'row-' + rows.indexOf(row);
            return '#' + row.id";
        let found = self.browser.script(script, &[service.into()]).await?;
        Ok(found.as_str().context("a row")?.to_owned())
    }

    /// Opens a service, or closes it.
    pub(crate) async fn toggle(&self, service: &str) -> Result<()> {
        let row = self.selector(service).await?;
        self.browser.click(&format!("{row} .open")).await
    }

    /// Nothing went wrong in the page, and nobody was asked but its proxy.
    pub(crate) async fn is_clean(&self) -> Result<()> {
        assert_eq!(self.browser.console().await?, [""; 0]);
        let requested = self.browser.requested().await?;
        assert!(!requested.is_empty());
        for url in requested {
            // The browser's own pages are in it.
            let known = ["http://localhost:", "data:", "chrome:"];
            assert!(known.iter().any(|known| url.starts_with(known)), "{url} was asked for");
        }
        Ok(())
    }

    /// Leaves a picture, where somebody wants to see some.
    pub(crate) async fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("MESHER_PICTURES") else { return Ok(()) };
        let file = PathBuf::from(folder).join(format!("{}-{name}.png", self.name));
        self.browser.picture(&file).await
    }
}
