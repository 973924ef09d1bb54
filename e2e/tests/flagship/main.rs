//! What only a node can show: a kubelet and a container runtime start the images as they are made,
//! from manifests and examples as they ship.
//!
//! One node serves all scenarios. They take turns, as some of them take away what others need, and
//! each leaves it as `place::Place` promises it to the next.

mod by_hand;
mod calls;
mod faults;
mod istio;
mod outages;
mod place;
mod replacement;
mod rules;
mod workloads;
