//! The servers' time and the wall's: said when they part, brought together when nothing is measured.

use std::sync::Arc;
use std::time::Duration;

use tarpan_control::steps;
use tarpan_model::Dur;
use tarpan_model::duration::SECOND;

use super::Control;
use crate::clock;

/// How often the clocks are compared.
const LOOK: Duration = Duration::from_secs(5);

impl Control {
    /// Compares the clocks; the servers' time is set when no deadline is outstanding.
    pub(super) async fn follow_wall(self: Arc<Self>) {
        let mut said = Dur::ZERO;
        loop {
            tokio::time::sleep(LOOK).await;
            let apart = clock::wall().since(clock::now());
            if apart.0.abs() < steps::NOTABLE.0 {
                said = Dur::ZERO;
                continue;
            }
            if (apart.0 - said.0).abs() > SECOND && said.0.abs() < apart.0.abs() {
                tracing::warn!(
                    "the wall clock differs by {apart} from the time that this server measured: it was set, or the machine or \
                     this process stood still. Deadlines go by measured time, which follows when none is outstanding"
                );
                said = apart;
            }
            self.step_if_quiet();
        }
    }

    fn step_if_quiet(&self) {
        let (state, stats) = (self.published.state(), self.broker_stats());
        if !steps::may_step(&state, &stats) {
            return;
        }
        let mut heartbeats = self.heartbeats();
        let step = clock::adopt();
        heartbeats.shift(step);
        drop(heartbeats);
        self.steps.send_modify(|n| *n += 1);
        tracing::info!(%step, "no deadline is outstanding: this server's time is the wall clock's again");
    }
}
