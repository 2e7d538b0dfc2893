//! Components: they take plain data or signals and know nothing of `/v1`. Class names are those of `style/`.

pub mod bits;
pub mod dialog;
pub mod diff;
pub mod editor;
pub mod frame;
pub mod loaded;
pub mod pager;
pub mod palette;
pub mod title;
pub mod toast;

pub use bits::*;
