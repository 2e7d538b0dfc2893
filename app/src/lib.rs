//! The web UI: pages and components. Renders on the server, hydrates in the browser.
