//! Who sees whom: tenants, environments and applications keep to themselves.

use anyhow::Result;
use discovery::servicecenter::Options;
use discovery::{Answer, Source};
use mesh::{ServiceKey, Status};

use crate::registry::{LONG, Registry, key, registered, sees, start};

/// An `orders` and somebody who asks for it, each changed by its own hand.
async fn asked(
    provider: impl FnOnce(&mut Options),
    client: impl FnOnce(&mut Options),
) -> Result<Answer> {
    let registry = Registry::start()?;
    let mut options = registry.options("orders", Some(8080));
    provider(&mut options);
    let scope = options.service.as_ref().map(|own| own.app.clone()).unwrap_or_default();
    let provider = start(options)?;
    registered(&provider, Some(Status::Up)).await?;
    let mut options = registry.options("frontend", None);
    client(&mut options);
    let client = start(options)?;
    registered(&client, None).await?;
    let key = ServiceKey::new(scope.as_str(), "orders");
    let answer = client.demand(&key).within(LONG).await;
    let snapshot = client.snapshots().borrow().clone();
    let instances = snapshot.get(&key).map_or(0, |service| service.instances().len());
    // A service that is hidden is one without instances: so service-center has it.
    Ok(if answer == Answer::Known && instances == 0 { Answer::Unknown } else { answer })
}

fn environment(options: &mut Options, word: &str) {
    options.service.as_mut().expect("it has one").environment = word.into();
}

#[tokio::test]
async fn a_tenant_sees_its_own_services_only() -> Result<()> {
    let tenant = |name: &'static str| move |options: &mut Options| options.tenant = name.to_owned();
    assert_eq!(asked(tenant("red"), tenant("red")).await?, Answer::Known);
    assert_eq!(asked(tenant("red"), tenant("blue")).await?, Answer::Unknown);
    Ok(())
}

#[tokio::test]
async fn a_project_sees_its_own_services_only() -> Result<()> {
    let project =
        |name: &'static str| move |options: &mut Options| options.project = name.to_owned();
    assert_eq!(asked(project("one"), project("one")).await?, Answer::Known);
    assert_eq!(asked(project("one"), project("two")).await?, Answer::Unknown);
    Ok(())
}

#[tokio::test]
async fn an_environment_sees_its_own_services_only() -> Result<()> {
    let of = |word: &'static str| move |options: &mut Options| environment(options, word);
    assert_eq!(asked(of("testing"), of("testing")).await?, Answer::Known);
    assert_eq!(asked(of("testing"), of("production")).await?, Answer::Unknown);
    assert_eq!(asked(of("testing"), of("")).await?, Answer::Unknown);
    Ok(())
}

#[tokio::test]
async fn another_application_is_seen_where_it_allows_it() -> Result<()> {
    let shop = |options: &mut Options| options.service.as_mut().expect("one").app = "bank".into();
    let open = |options: &mut Options| {
        shop(options);
        let own = options.service.as_mut().expect("one");
        own.properties.insert("allowCrossApp".to_owned(), "true".to_owned());
    };
    assert_eq!(asked(shop, |_| {}).await?, Answer::Unknown, "it does not allow it");
    assert_eq!(asked(open, |_| {}).await?, Answer::Known);
    Ok(())
}

/// A proxy without a service of its own asks as nobody, and is told what everybody may know.
#[tokio::test]
async fn nobody_in_particular_sees_services_too() -> Result<()> {
    let registry = Registry::start()?;
    let _provider = registry.provider("orders", 8080).await?;
    let mut options = registry.options("frontend", None);
    options.service = None;
    let client = start(options)?;
    assert_eq!(client.demand(&key("orders")).within(LONG).await, Answer::Known);
    sees(&client, "orders", &["8080 Up"]).await
}
