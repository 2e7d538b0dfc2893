//! `tls cert create`, `tls cert info`.

use std::net::{IpAddr, Ipv4Addr};

use tarpan_tls::make::{Holder, certificate};
use tarpan_tls::view::time_text;

use super::{are_free, list, look, read, save};
use crate::command::{Command, Fail, Outcome};
use crate::output::block;

#[derive(Debug, clap::Args)]
pub struct Create {
    /// A further DNS name that the certificate is for. May be repeated.
    #[arg(long, value_name = "name")]
    additional_dnsname: Vec<String>,
    /// A further IP address that the certificate is for. May be repeated.
    #[arg(long, value_name = "address")]
    additional_ipaddress: Vec<String>,
    /// The file of the authority's certificate.
    #[arg(long, value_name = "path", default_value = "#DOMAIN#-agent-ca.pem")]
    ca: String,
    /// The file of the authority's key.
    #[arg(long, value_name = "path", default_value = "#DOMAIN#-agent-ca-key.pem")]
    key: String,
    /// For a command line or another caller of the API.
    #[arg(long)]
    cli: bool,
    /// For a client agent.
    #[arg(long)]
    client: bool,
    /// For a server agent, which may also be a client.
    #[arg(long)]
    server: bool,
    /// How many days the certificate lasts.
    #[arg(long, value_name = "days", default_value_t = 365)]
    days: u32,
    /// The domain of the cluster. Agents ask for names below "nomad".
    #[arg(long, value_name = "domain", default_value = "nomad")]
    domain: String,
    /// The region that the certificate is for. NOMAD_REGION says the same; the default is "global".
    #[arg(long, value_name = "region")]
    region: Option<String>,
    args: Vec<String>,
}

impl Command for Create {
    const PATH: &'static str = "tls cert create";
    const ABOUT: &'static str = "Makes a certificate that an authority signs.";
    const DETAILS: &'static str = "Writes the certificate and its key into the current folder. One of -server, -client and -cli says \
        what its holder is: with tls.verify_server_hostname only a server's certificate makes a server.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let (role, answers) = match (self.server, self.client, self.cli) {
            (true, false, false) => ("server", true),
            (false, true, false) => ("client", true),
            (false, false, true) => ("cli", false),
            _ => return Err(Fail::usage("One of -server, -client and -cli is needed")),
        };
        let region = self.region.or_else(|| std::env::var("NOMAD_REGION").ok()).filter(|region| !region.is_empty());
        let region = region.unwrap_or_else(|| "global".to_owned());
        if region.contains('/') || self.domain.contains('/') {
            return Err(Fail::usage("Regions and domains have no slash"));
        }
        let begin = format!("{region}-{role}-{}", self.domain);
        let (file, key) = (format!("{begin}.pem"), format!("{begin}-key.pem"));
        are_free([&file, &key])?;
        let (ca, ca_key) = (self.ca.replace("#DOMAIN#", &self.domain), self.key.replace("#DOMAIN#", &self.domain));
        let name = format!("{role}.{region}.{}", self.domain);
        let mut dns_names = vec![name.clone(), "localhost".to_owned()];
        dns_names.extend(self.additional_dnsname);
        let mut addresses = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        for text in &self.additional_ipaddress {
            addresses.push(text.parse().map_err(|_| Fail::usage(format!("{text:?} is no IP address")))?);
        }
        let holder = Holder { common_name: name, dns_names, addresses, answers };
        let (ca_text, ca_key_text) = (read(&ca)?, read(&ca_key)?);
        if self.server {
            println!(
                "==> WARNING: whoever holds a server's certificate can become a server and read all that the cluster \
                 knows.\n    Keep it on servers alone, as safe as the key of the CA."
            );
        }
        println!("==> Using CA file {ca} and CA key {ca_key}");
        let made = certificate(&holder, self.days, &ca_text, &ca_key_text);
        let made = made.map_err(|e| Fail::new(format!("Error creating the certificate: {e}")))?;
        let what = match role {
            "server" => "Server Certificate",
            "client" => "Client Certificate",
            _ => "Cli Certificate",
        };
        save(what, &made, &file, &key)?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Info {
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "tls cert info";
    const USAGE: &'static str = "<certificate file>";
    const ABOUT: &'static str = "Shows what a certificate says.";

    async fn run(self) -> Outcome {
        let [file] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <certificate file>"));
        };
        let seen = look(file)?;
        println!(
            "{}",
            block(&[
                ("Serial Number", seen.serial),
                ("Issuer CN", seen.issuer),
                ("Common Name", seen.common_name),
                ("Expiry Date", time_text(seen.not_after)),
                ("DNS Names", list(&seen.dns_names)),
                ("IP Addresses", list(&seen.addresses)),
            ])
        );
        Ok(0)
    }
}
