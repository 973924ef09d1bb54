//! A server that is its own CA: what is stored, and what has to happen to it next.
//!
//! Everything here is a function of its arguments; [`crate::Serving`] does what it decides.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::bundle::Bundle;
use crate::error::Error;
use crate::identity::Identity;
use crate::names::Names;
use crate::terms::Terms;

/// CA and leaf as they are kept. The bundle may hold more CAs than the one that signs: while a CA
/// is replaced the old stands beside the new.
#[derive(Debug, Clone)]
pub struct Material {
    /// What clients are to trust; its head is `authority`.
    pub bundle: Bundle,
    /// The CA that signs the next leaf.
    pub authority: Arc<Authority>,
    /// What is served; for a while of a former CA in the bundle.
    pub identity: Identity,
}

/// The four texts of [`Material`] as stores keep them; any of them may be missing or broken.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// `ca.crt`: the bundle.
    pub ca_crt: Vec<u8>,
    /// `ca.key`: the key of the first CA in it that it fits.
    pub ca_key: Zeroizing<Vec<u8>>,
    /// `tls.crt`: the leaf.
    pub tls_crt: Vec<u8>,
    /// `tls.key`: its key.
    pub tls_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts(..)")
    }
}

impl Material {
    /// The texts to store.
    pub fn to_texts(&self) -> Texts {
        let bytes = |pem: &str| Zeroizing::new(pem.as_bytes().to_vec());
        Texts {
            ca_crt: self.bundle.to_pem().into_bytes(),
            ca_key: bytes(self.authority.key().expose_pem()),
            tls_crt: self.identity.chain_pem().into_bytes(),
            tls_key: bytes(self.identity.key().expose_pem()),
        }
    }
}

/// What could be read of stored texts.
#[derive(Debug, Clone, Default)]
pub struct Found {
    authority: Option<(Bundle, Arc<Authority>)>,
    identity: Option<Identity>,
    /// What could not be read, for the log.
    pub problems: Vec<String>,
}

impl Found {
    /// Reads what can be read; `place` names the store in problems.
    pub fn read(texts: &Texts, place: &str) -> Self {
        let authority = Bundle::from_pem(&texts.ca_crt, place).and_then(|bundle| {
            let authority = Authority::from_pem(&texts.ca_crt, &texts.ca_key, place)?;
            Ok((bundle.led_by(authority.certificate().clone()), Arc::new(authority)))
        });
        let identity = Identity::from_pem(&texts.tls_crt, &texts.tls_key, place);
        let mut problems = Vec::new();
        let mut note = |e: Error| problems.push(e.to_string());
        let authority = authority.map_err(&mut note).ok();
        let identity = identity.map_err(&mut note).ok();
        Self { authority, identity, problems }
    }

    /// Fills what is missing from what is being served: a Secret that was deleted or damaged comes
    /// back as it was, and no client notices.
    #[must_use]
    fn or(mut self, served: Option<&Material>) -> Self {
        if let Some(served) = served {
            if self.authority.is_none() {
                self.authority = Some((served.bundle.clone(), Arc::clone(&served.authority)));
                self.identity = Some(served.identity.clone());
            }
            self.identity.get_or_insert_with(|| served.identity.clone());
        }
        self
    }
}

/// What is known of the CAs that clients trust. The settling time of a new CA counts from when they
/// were told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody says, or there is nobody to be told: a CA is taken to be known from its issue.
    #[default]
    Assumed,
    /// They may never have heard of the present bundle.
    Unconfirmed,
    /// They were told to trust `bundle`.
    Confirmed {
        /// All that they trust.
        bundle: Bundle,
        /// Since when without a break.
        since: SystemTime,
    },
}

impl Trust {
    /// When `authority` has stood in the clients' bundle for the settling time; `None`: it does not
    /// stand there.
    fn settles(&self, authority: &Authority, terms: &Terms) -> Option<SystemTime> {
        match self {
            Self::Assumed => Some(terms.settles(authority.certificate())),
            Self::Confirmed { bundle, since } if bundle.contains(authority.certificate()) => {
                Some(terms.issued(authority.certificate()).max(*since) + terms.settle)
            }
            Self::Confirmed { .. } | Self::Unconfirmed => None,
        }
    }
}

/// What has to happen now.
#[derive(Debug)]
pub enum Step {
    /// Serve it; ask again at `until`.
    Keep {
        /// What is to be served.
        material: Material,
        /// When something is due next.
        until: SystemTime,
    },
    /// Store it, then ask again.
    Store {
        /// What is to be stored, and then served.
        material: Material,
        /// Why, for the log.
        because: &'static str,
    },
}

/// Decides about what was `found` in the store, given what is `served` so far.
///
/// A CA is replaced in two steps: it first stands beside the old one in the bundle while the old
/// leaf is served, and only after clients were able to `trust` it for `terms.settle` a leaf of it is
/// issued; as long again after that the old one is dropped. Clients that cannot be told do not hold
/// it up for ever: the old leaf's end does, as nobody takes an expired one.
pub fn next(
    found: Found,
    served: Option<&Material>,
    trust: &Trust,
    names: &Names,
    terms: &Terms,
    now: SystemTime,
) -> Result<Step, Error> {
    terms.check()?;
    let damaged = found.authority.is_none() || found.identity.is_none();
    let Found { authority, identity, .. } = found.or(served);
    let alive = |(_, a): &(Bundle, Arc<Authority>)| {
        a.certificate().not_before() <= now && now < a.certificate().not_after()
    };
    let Some((bundle, authority)) = authority.filter(alive) else {
        return fresh(names, terms, now, "no usable CA was stored");
    };
    let issue = |because| {
        let identity = authority.issue(names, terms, now)?;
        let (bundle, authority) = (bundle.clone(), Arc::clone(&authority));
        Ok(Step::Store { material: Material { bundle, authority, identity }, because })
    };
    let Some(identity) = identity else {
        return issue("no usable leaf was stored");
    };
    if bundle.verify(&identity, names.iter(), now).is_err() {
        return issue("the leaf is expired, misses a name, or is of another CA");
    }
    let of_authority = authority.signed(identity.leaf());
    // The old CA goes before anything else is done: bundles would grow without end, and as it is the
    // new one's first leaf that says since when it is not needed, no other may take that one's place.
    if of_authority && bundle.certificates().len() > 1 {
        let until = terms.settles(identity.leaf());
        if now < until {
            let material = Material { bundle, authority, identity };
            return Ok(keep_or_heal(material, until, damaged));
        }
        let bundle = Bundle::of(authority.certificate().clone());
        let material = Material { bundle, authority, identity };
        return Ok(Step::Store { material, because: "the old CA is no longer needed" });
    }
    let ca_due = terms.due(authority.certificate(), terms.ca);
    if ca_due <= now && of_authority {
        let authority = Arc::new(Authority::generate(&common_name(names), terms, now)?);
        let bundle = bundle.led_by(authority.certificate().clone());
        let because = "the CA is due: a new one stands beside it";
        return Ok(Step::Store { material: Material { bundle, authority, identity }, because });
    }
    let leaf_due = terms.due(identity.leaf(), terms.leaf);
    if !of_authority {
        let end = identity.leaf().not_after();
        let settled = trust.settles(&authority, terms).filter(|at| *at <= end);
        let until = settled.unwrap_or(end);
        if until <= now {
            return issue(match settled {
                Some(_) => "the new CA has settled",
                None => "the old leaf ends, whether or not the new CA has settled",
            });
        }
        let material = Material { bundle, authority, identity };
        return Ok(keep_or_heal(material, until, damaged));
    }
    if leaf_due <= now {
        return issue("the leaf is due");
    }
    let until = leaf_due.min(ca_due);
    let material = Material { bundle, authority, identity };
    Ok(keep_or_heal(material, until, damaged))
}

/// What a server that must not write serves of what was `found`: all of it, if it is whole and
/// valid at `now`. `None`: it keeps what it has, until whoever may write has written.
///
/// Names are not looked at: a server that is to have another name than the writer gives would else
/// never be ready to take the writer's place.
pub fn follow(found: Found, now: SystemTime) -> Option<Material> {
    let (bundle, authority) = found.authority?;
    let identity = found.identity?;
    bundle.verify(&identity, [], now).ok()?;
    Some(Material { bundle, authority, identity })
}

fn keep_or_heal(material: Material, until: SystemTime, damaged: bool) -> Step {
    if damaged {
        Step::Store { material, because: "the store was emptied or damaged" }
    } else {
        Step::Keep { material, until }
    }
}

fn fresh(
    names: &Names,
    terms: &Terms,
    now: SystemTime,
    because: &'static str,
) -> Result<Step, Error> {
    let authority = Arc::new(Authority::generate(&common_name(names), terms, now)?);
    let identity = authority.issue(names, terms, now)?;
    let bundle = Bundle::of(authority.certificate().clone());
    Ok(Step::Store { material: Material { bundle, authority, identity }, because })
}

/// `<first name> CA`, within the 64 characters X.520 allows.
fn common_name(names: &Names) -> String {
    let first = names.to_vec().into_iter().next().unwrap_or_default();
    format!("{} CA", first.chars().take(60).collect::<String>())
}
