//! The control loops without their loops: each part is a `step(event, now) -> effects`. Pure.
