//! What a client can connect to.

use std::io;

use echosounder_socket::Endpoint;

/// Something that names an endpoint: a text such as `tcp://localhost:21567`, or an [`Endpoint`].
pub trait ToEndpoint {
    /// Returns the endpoint.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a text is no endpoint.
    fn to_endpoint(&self) -> io::Result<Endpoint>;
}

impl ToEndpoint for str {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

impl ToEndpoint for String {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        self.as_str().to_endpoint()
    }
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        Ok(self.clone())
    }
}

impl<T: ToEndpoint + ?Sized> ToEndpoint for &T {
    fn to_endpoint(&self) -> io::Result<Endpoint> {
        (**self).to_endpoint()
    }
}
