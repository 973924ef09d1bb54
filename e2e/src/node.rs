//! The Kubernetes node that the scenarios of a test binary share.

use anyhow::Result;
use testbed::{Node, NodeOptions, binary, image};

/// The node of this process, which the first caller starts with these of our images; `pause` is
/// always among them. The inner error says why this machine runs none: [`testbed::skip`] with it.
pub fn shared(images: &[&str]) -> Result<Result<&'static Node, String>> {
    Node::shared(|| options(images))
}

/// What a node with these of our images is made of.
pub fn options(images: &[&str]) -> Result<NodeOptions> {
    let images = ["pause"].iter().chain(images).map(|name| image(name)).collect::<Result<_>>()?;
    Ok(NodeOptions { testbed: binary("testbed")?, images })
}
