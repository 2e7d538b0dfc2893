//! The TLS of one process: what its files gave, until they are read again.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::material::Material;
use crate::said::Once;
use crate::settings::{Roles, Settings, SettingsError};
use crate::suites;

/// Shared by all listeners and connections. New connections take what was read last; open ones stay as they are.
#[derive(Debug)]
pub struct Tls {
    roles: Roles,
    current: ArcSwap<Material>,
    once: Arc<Once>,
}

impl Tls {
    /// Reads the files and judges them. Errors are sentences that name key, file and reason.
    pub fn load(settings: &Settings, roles: Roles) -> Result<Arc<Tls>, SettingsError> {
        let material = Material::load(settings, &roles)?;
        Ok(Arc::new(Tls { roles, current: ArcSwap::from_pointee(material), once: Arc::default() }))
    }

    /// What can be judged before there are files.
    pub fn check(settings: &Settings) -> Result<(), SettingsError> {
        settings.check()?;
        suites::versions(&settings.min_version)?;
        suites::with_suites(&settings.cipher_suites).map(drop)
    }

    /// Takes what the files hold now. On an error everything stays as it was.
    pub fn reload(&self, settings: &Settings) -> Result<(), SettingsError> {
        let now = self.current.load();
        if (now.settings.rpc, now.settings.http) != (settings.rpc, settings.http) {
            return Err(SettingsError::NeedsRestart);
        }
        self.current.store(Arc::new(Material::load(settings, &self.roles)?));
        self.once.forget();
        Ok(())
    }

    pub fn rpc(&self) -> bool {
        self.current.load().settings.rpc
    }

    pub fn http(&self) -> bool {
        self.current.load().settings.http
    }

    /// Certificates say what their holders may do: `verify_server_hostname`.
    pub fn names_count(&self) -> bool {
        self.current.load().settings.verify_server_hostname
    }

    /// What is to be known, though it works.
    pub fn warnings(&self) -> Vec<String> {
        self.current.load().warnings.clone()
    }

    /// Logs a refusal, unless it was said just before.
    pub fn say(&self, who: &str, what: &str) {
        self.once.say(who, what);
    }

    pub(crate) fn material(&self) -> Arc<Material> {
        self.current.load_full()
    }

    pub(crate) fn once(&self) -> &Arc<Once> {
        &self.once
    }
}
