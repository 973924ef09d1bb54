//! Names are others'. Whatever they hold, it stays text.

use anyhow::Result;
use e2e::mesh::Mesh;

use crate::View;

const NAME: &str = "<script>document.title='broken'</script>";
const IMAGE: &str = "<img src=x onerror=\"document.title='broken'\">";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_markup_stays_text() -> Result<()> {
    let mesh = Mesh::start()?;
    let caller = mesh
        .sidecar("caller")
        .variable("SERVICE_NAME", NAME)
        .variable("POD_NAME", IMAGE)
        .variable("VERSION", "1.0")
        .key("servicecomb.registry.tenant", IMAGE)
        .start()?;
    let Some(view) = View::open(&mesh, &caller).await? else { return Ok(()) };
    let browser = &view.browser;
    browser.shows("#name", NAME).await?;
    browser.click("#tab-config").await?;
    browser.shows("#values", IMAGE).await?;
    browser.click("#tab-proxy").await?;
    browser.shows("#proxy", NAME).await?;
    view.picture("names").await?;
    let counts = "return document.querySelectorAll('script').length + ' ' +
        document.querySelectorAll('img').length";
    assert_eq!(browser.script(counts, &[]).await?, "1 0");
    assert_eq!(browser.script("return document.title", &[]).await?, format!("{NAME} · mesher"));
    view.is_clean().await?;

    // Should there be a way in all the same: what comes in does nothing, and reaches nobody.
    let inject = "const script = document.createElement('script');
        script.textContent = 'document.title = \"broken\"';
        document.body.append(script);
        const image = document.createElement('img');
        image.src = 'http://localhost:1/x';
        document.body.append(image);";
    browser.script(inject, &[]).await?;
    browser.until("#fresh", "the next look", |text| text.starts_with("Live")).await?;
    assert_eq!(browser.script("return document.title", &[]).await?, format!("{NAME} · mesher"));
    let refused = browser.console().await?;
    let policy = |line: &&String| line.contains("Content Security Policy");
    assert!(refused.iter().filter(policy).count() >= 2, "{refused:?}");
    Ok(())
}
