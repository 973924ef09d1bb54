//! What a running proxy takes over of other settings.

use super::Settings;
use crate::tls::tags::Use;

impl Settings {
    /// These settings as a running proxy can take them over, where it runs with `running`: what is
    /// read at the start only stays as it is, and its names are returned if it differs.
    pub fn taken_over(mut self, running: &Self) -> (Self, Vec<&'static str>) {
        fn keep<T: Clone + PartialEq>(
            name: &'static str,
            new: &mut T,
            running: &T,
            kept: &mut Vec<&'static str>,
        ) {
            if new != running {
                kept.push(name);
                new.clone_from(running);
            }
        }
        let mut kept = Vec::new();
        keep("mode", &mut self.mode, &running.mode, &mut kept);
        keep("identity", &mut self.identity, &running.identity, &mut kept);
        keep("listeners", &mut self.listeners, &running.listeners, &mut kept);
        keep("local ports", &mut self.local, &running.local, &mut kept);
        keep("discovery", &mut self.discovery, &running.discovery, &mut kept);
        keep("configuration center", &mut self.center, &running.center, &mut kept);
        keep("admin", &mut self.admin, &running.admin, &mut kept);
        keep("workers", &mut self.workers, &running.workers, &mut kept);
        keep("log", &mut self.log, &running.log, &mut kept);
        // A collector goes on knowing us as others do.
        if let (Some(new), Some(old)) = (&mut self.tracing, &running.tracing)
            && kept.contains(&"identity")
        {
            new.export.service.clone_from(&old.export.service);
            new.export.attributes.clone_from(&old.export.attributes);
        }
        // Which files, what they hold and whom they make us trust may change; that there is TLS is
        // what others were told when we registered.
        let fixed = [
            Use::ConsumerSide,
            Use::ProviderSide,
            Use::Admin,
            Use::ServiceCenter,
            Use::ConfigurationCenter,
        ];
        let speaks = |settings: &Self| fixed.map(|what| settings.tls_for(what).is_some());
        if speaks(&self) != speaks(running) {
            kept.push("whether TLS is spoken");
            self.tls.clone_from(&running.tls);
        }
        (self, kept)
    }
}
