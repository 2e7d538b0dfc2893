//! Handlers of the route table's rows. Every family's file binds its own with [`bind!`].

use std::future::Future;
use std::pin::Pin;

use super::context::Context;
use super::reply::Outcome;

pub type Handler = fn(Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// `bind! { Family { Row => handler, … }}`: the function that gives a family's handlers. A row that is left out does not compile.
macro_rules! bind {
    ($family:ident { $($route:ident => $handler:path,)+ }) => {
        pub fn handler(route: tarpan_api::routes::$family) -> $crate::http::bind::Handler {
            match route {
                $(tarpan_api::routes::$family::$route => |cx| Box::pin($handler(cx)),)+
            }
        }
    };
}
pub(super) use bind;
