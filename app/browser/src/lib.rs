//! The browser entry of the web UI.
