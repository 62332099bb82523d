//! A sweep: the measurements of each target by several sizes, which show the path MTU.

use std::net::IpAddr;

use echosounder_client::TargetEvent;

use super::target_state::TargetState;
use crate::render::ping::path_mtu::PathMtu;

/// After so many sizes in a row without a reply, larger ones are left out.
const LOST_MAX: u32 = 3;

/// Decides whether to go on with larger sizes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Sizes without a reply since the last one that had any.
    lost: u32,
}

impl Progress {
    /// Takes notice of an event, and returns whether to go on.
    pub(super) fn goes_on_after(&mut self, event: &TargetEvent) -> bool {
        let TargetEvent::Ended { report, error } = event else { return true };
        let has_reply = report.as_deref().is_some_and(|report| report.answered + report.late != 0);
        self.lost = if has_reply { 0 } else { self.lost + 1 };
        error.is_none() && self.lost < LOST_MAX
    }
}

/// Returns the path MTU of each target that was found, from its measurements by `count` sizes.
pub(super) fn path_mtus(states: &[TargetState], count: usize) -> Vec<PathMtu> {
    let conclude = |states: &[TargetState]| {
        let first = states.first()?;
        let results: Vec<_> = states.iter().filter_map(TargetState::size_result).collect();
        let is_v6 = first.ip().is_some_and(|ip: IpAddr| ip.is_ipv6());
        first.target.as_ref().map(|_| PathMtu::conclude(first.unlabelled(), is_v6, &results))
    };
    states.chunks(count).filter_map(conclude).collect()
}

#[cfg(test)]
mod tests {
    use echosounder_client::ClientError;

    use super::*;

    fn ended(error: Option<ClientError>) -> TargetEvent {
        TargetEvent::Ended { report: None, error }
    }

    #[test]
    fn three_sizes_without_a_reply_or_an_error_end_the_sweep() {
        let mut progress = Progress::default();
        let goes_on: Vec<_> = (0..3).map(|_| progress.goes_on_after(&ended(None))).collect();
        assert_eq!(goes_on, [true, true, false]);
        assert!(!Progress::default().goes_on_after(&ended(Some(ClientError::Stopped))));
    }
}
