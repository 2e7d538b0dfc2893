//! The name of an image, taken apart.

/// Registry and repository, and what comes after.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub repository: String,
    pub tag: String,
    /// `sha256:…` instead of a tag.
    pub digest: bool,
}

impl Reference {
    pub fn parse(image: &str) -> Reference {
        let image = ["docker://", "https://", "http://"].iter().find_map(|p| image.strip_prefix(p)).unwrap_or(image);
        if let Some((repository, digest)) = image.split_once('@') {
            return Reference { repository: repository.to_owned(), tag: digest.to_owned(), digest: true };
        }
        let (repository, tag) = match image.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (image, "latest"),
        };
        Reference { repository: repository.to_owned(), tag: tag.to_owned(), digest: false }
    }

    pub fn full(&self) -> String {
        let separator = if self.digest { '@' } else { ':' };
        format!("{}{separator}{}", self.repository, self.tag)
    }

    /// The registry that the name says; `None`: the public one.
    pub fn registry(&self) -> Option<&str> {
        let (first, _) = self.repository.split_once('/')?;
        (first.contains(['.', ':']) || first == "localhost").then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_from_a_path() {
        for (image, registry) in [
            ("redis", None),
            ("library/redis:7", None),
            ("docker://ghcr.io/a/b", Some("ghcr.io")),
            ("localhost/a", Some("localhost")),
            ("127.0.0.1:5000/a@sha256:00", Some("127.0.0.1:5000")),
            ("a.b:7", None),
        ] {
            assert_eq!(Reference::parse(image).registry(), registry, "{image}");
        }
    }

    #[test]
    fn fuzz_a_reference_is_read_as_it_is_written() {
        let words = [":", "@", "/", "sha256:", "docker://", "https://", "latest", "localhost:5000", "a", ".", "[::1]"];
        let seeds = ["redis:7", "localhost:5000/a/b", "a@sha256:00ff", "docker://x/y:1@sha256:7", "[::1]:5000/x", ""];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "images").words(&words).seeds(seeds);
        fuzz.texts(|image| {
            let reference = Reference::parse(image);
            let full = reference.full();
            let named = !["docker://", "https://", "http://"].iter().any(|scheme| full.starts_with(scheme));
            if named {
                assert_eq!(Reference::parse(&full), reference, "{image:?}");
            }
            format!("{} {} {named}", reference.digest, reference.tag == "latest")
        });
    }
}
