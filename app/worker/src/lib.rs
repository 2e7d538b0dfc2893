//! Parser and scheduler as a second module, run in a web worker.
