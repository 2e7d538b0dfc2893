//! `tls ca create`, `tls ca info`.

use tarpan_tls::make::{Subject, authority};
use tarpan_tls::view::time_text;

use super::{are_free, list, look, save};
use crate::command::{Command, Fail, Outcome};
use crate::output::block;

#[derive(Debug, clap::Args)]
pub struct Create {
    /// With -name-constraint: a further domain below which the authority may sign. May be repeated.
    #[arg(long, value_name = "domain")]
    additional_domain: Vec<String>,
    /// How many days the authority lasts.
    #[arg(long, value_name = "days", default_value_t = 1825)]
    days: u32,
    /// Let the authority sign only names below its domains, and localhost.
    #[arg(long)]
    name_constraint: bool,
    /// The domain of the cluster, which begins the files' names.
    #[arg(long, value_name = "domain", default_value = "nomad")]
    domain: String,
    /// The authority's name; by default one with a number.
    #[arg(long, value_name = "name", default_value = "")]
    common_name: String,
    /// The country of the authority's owner, two letters.
    #[arg(long, value_name = "country", default_value = "")]
    country: String,
    /// The postal code of the owner.
    #[arg(long, value_name = "code", default_value = "")]
    postal_code: String,
    /// The province of the owner.
    #[arg(long, value_name = "province", default_value = "")]
    province: String,
    /// The town of the owner.
    #[arg(long, value_name = "town", default_value = "")]
    locality: String,
    /// The street of the owner.
    #[arg(long, value_name = "street", default_value = "")]
    street_address: String,
    /// The organization that owns the authority.
    #[arg(long, value_name = "name", default_value = "")]
    organization: String,
    /// Its unit.
    #[arg(long, value_name = "name", default_value = "")]
    organizational_unit: String,
    args: Vec<String>,
}

impl Command for Create {
    const PATH: &'static str = "tls ca create";
    const ABOUT: &'static str = "Makes a certificate authority for a cluster.";
    const DETAILS: &'static str = "Writes the authority's certificate and its key into the current folder. The certificate goes to \
        every agent, as tls.ca_file; the key stays where certificates are made: whoever has it is let in everywhere.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        if !self.name_constraint && !self.additional_domain.is_empty() {
            return Err(Fail::usage("-additional-domain needs -name-constraint"));
        }
        let (file, key) = (format!("{}-agent-ca.pem", self.domain), format!("{}-agent-ca-key.pem", self.domain));
        are_free([&file, &key])?;
        let mut permitted = Vec::new();
        if self.name_constraint {
            permitted.push(self.domain.clone());
            permitted.extend(self.additional_domain);
            permitted.push("localhost".to_owned());
        }
        let subject = Subject {
            common_name: self.common_name,
            country: self.country,
            postal_code: self.postal_code,
            province: self.province,
            locality: self.locality,
            street_address: self.street_address,
            organization: self.organization,
            organizational_unit: self.organizational_unit,
        };
        let made =
            authority(&subject, self.days, &permitted).map_err(|e| Fail::new(format!("Error creating CA: {e}")))?;
        save("CA certificate", &made, &file, &key)?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Info {
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "tls ca info";
    const USAGE: &'static str = "<CA file>";
    const ABOUT: &'static str = "Shows what the certificate of an authority says.";

    async fn run(self) -> Outcome {
        let [file] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <CA file>"));
        };
        let seen = look(file)?;
        println!(
            "{}",
            block(&[
                ("Serial Number", seen.serial),
                ("Issuer CN", seen.issuer),
                ("Common Name", seen.common_name),
                ("Expiry Date", time_text(seen.not_after)),
                ("Permitted DNS Domains", list(&seen.permitted_domains)),
            ])
        );
        Ok(0)
    }
}
