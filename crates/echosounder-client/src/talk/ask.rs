//! One request and its reply, as bytes.

use echosounder_proto::FailureKind;
use echosounder_socket::{Error, Kind, ToEndpoint};

use super::peer::Peer;
use super::received::{Received, ReceivedKind, RequestOutcome};
use crate::error::{ClientError, Operation};

impl Peer {
    /// Sends a message and returns its reply, with the timestamp that a timestamped echo server puts
    /// before it. Data that belongs to no request is discarded.
    ///
    /// On a stream, a reply whose prefix is not one of the built-in timestamps has no visible end: it
    /// ends where nothing arrives for 300 ms.
    ///
    /// The reply may take the time of [`ConnectOptions::wait`](crate::ConnectOptions::wait).
    ///
    /// # Errors
    ///
    /// [`ClientError::Options`] if the message is empty and the transport carries no empty messages:
    /// only datagrams and UNIX seqpacket do. If the peer fails, does not reply in time or closes the
    /// connection, or if the wait was stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use echosounder_client::Peer;
    ///
    /// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let endpoint = format!("udp://{}", server.local_addr()?);
    /// # std::thread::spawn(move || {
    /// #     let mut message = [0; 128];
    /// #     while let Ok((len, client)) = server.recv_from(&mut message) {
    /// #         let stamped = [b"[Sun Nov 22 12:19:36 2026] ", &message[..len]].concat();
    /// #         server.send_to(&stamped, client).expect("the client waits");
    /// #     }
    /// # });
    /// // let endpoint = "udp://host:21567";
    /// let mut peer = Peer::connect(&endpoint)?;
    /// assert_eq!(peer.ask(b"hello")?, b"[Sun Nov 22 12:19:36 2026] hello");
    /// assert!(peer.ask(b"again")?.ends_with(b"] again"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, ClientError> {
        let carries_empty_messages = match self.transport().kind() {
            Kind::Stream => false,
            Kind::Messages => self.transport().receives_empty_messages(),
            Kind::Datagrams => true,
        };
        if message.is_empty() && !carries_empty_messages {
            return Err(ClientError::Options(format!(
                "cannot send an empty message to {}",
                self.peer_endpoint()
            )));
        }
        let (mut bytes, mut reply) = (Vec::new(), Vec::new());
        let outcome = self.request(message, &mut |received: Received<'_>| {
            bytes.extend_from_slice(received.bytes);
            match received.kind {
                ReceivedKind::Fragment => {}
                ReceivedKind::Reply(_) => reply = std::mem::take(&mut bytes),
                ReceivedKind::LateReply(_) | ReceivedKind::Unexpected => bytes.clear(),
            }
            Ok::<(), ClientError>(())
        })?;
        match outcome {
            RequestOutcome::Replied => Ok(reply),
            RequestOutcome::Stopped => Err(ClientError::Stopped),
            RequestOutcome::TimedOut => Err(ClientError::timeout(Operation::Receive, &self.peer_endpoint())),
            RequestOutcome::Closed => {
                let closed = std::io::ErrorKind::UnexpectedEof.into();
                let error = Error::new(Operation::Receive.as_str(), &self.peer_endpoint(), closed);
                Err(ClientError::Peer(FailureKind::Closed, error))
            }
        }
    }
}

/// Connects to an endpoint, sends one message and returns the reply: [`Peer::connect`] and
/// [`Peer::ask`].
///
/// # Errors
///
/// As [`Peer::connect`] and [`Peer::ask`].
///
/// # Examples
///
/// ```
/// use echosounder_client::echo;
///
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let endpoint = format!("udp://{}", server.local_addr()?);
/// # std::thread::spawn(move || {
/// #     let mut message = [0; 128];
/// #     let (len, client) = server.recv_from(&mut message).expect("the client sends");
/// #     server.send_to(&message[..len], client).expect("the client waits");
/// # });
/// // let endpoint = "udp://host:7";
/// assert_eq!(echo(&endpoint, b"hello")?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn echo(target: impl ToEndpoint, message: &[u8]) -> Result<Vec<u8>, ClientError> {
    Peer::connect(target)?.ask(message)
}
