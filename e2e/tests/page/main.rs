//! The proxy's live page, as a person sees it: real proxies, a real registry, a real browser.
//!
//! With `MESHER_PICTURES` set to a folder, each scenario leaves pictures of the page there.

mod governance;
mod life;
mod many;
mod names;
mod services;
mod view;

use view::View;
