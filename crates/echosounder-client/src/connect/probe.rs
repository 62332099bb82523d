//! Connections that are made to be measured.

use std::time::Duration;

use echosounder_socket::{Socket, option};

/// How connections are made whose setup is measured, and how they are closed.
///
/// # Examples
///
/// ```no_run
/// use echosounder_client::{ConnectProbe, Ping, Probe};
///
/// let report = Ping::to("tcp://www.example:443").probe(Probe::Connect(ConnectProbe::default())).run()?;
/// println!("handshake: {:?}, refused: {}", report.percentile(50.0), report.lost.refused);
/// # Ok::<(), echosounder_client::ClientError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectProbe {
    /// Whether to close connections with a reset (RST) instead of a FIN, so that no local port waits
    /// in TIME-WAIT. The server may log an error for each.
    pub reset: bool,
}

impl ConnectProbe {
    /// Sets whether to close connections with a reset.
    #[must_use]
    pub fn reset(self, reset: bool) -> Self {
        Self { reset, ..self }
    }

    /// Closes a connection.
    pub(crate) fn close(self, socket: Socket) {
        if self.reset {
            // Without the option the close is a normal one.
            let _ = socket.set_option(option::SO_LINGER, Some(Duration::ZERO));
        }
        drop(socket);
    }
}
