//! What a plan looks like in the situations that users know, as text.

mod counts;
mod deployments;
mod devices;
mod failures;
mod generated;
mod placing;
mod preempting;
mod system;
mod volumes;
