//! Options of TLS in the kernel: SOL_TLS, the kernel's document networking/tls. The numbers are those
//! of linux/tls.h.
//!
//! [`TCP_ULP`](super::TCP_ULP) with `tls` enables them.

use std::fmt;

use super::value::{SetValue, SocketOption, WriteOnly, options};

/// The keys of one direction of a TLS connection: `struct tls_crypto_info`, linux/tls.h.
///
/// ```no_run
/// use echosounder_socket::option::{TCP_ULP, TLS_TX, TlsCipher, TlsKeys, TlsVersion};
/// use echosounder_socket::create_connection;
///
/// let socket = create_connection(("localhost", 21567), None, None)?;
/// // The keys are those of the handshake, which a TLS library has done.
/// let cipher = TlsCipher::Aes128Gcm { iv: [1; 8], key: [2; 16], salt: [3; 4], sequence: [0; 8] };
/// socket.set_option(TCP_ULP, "tls".into())?;
/// socket.set_option(TLS_TX, TlsKeys { version: TlsVersion::V1_3, cipher })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "tls_crypto_info")]
pub struct TlsKeys {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher with its keys.
    pub cipher: TlsCipher,
}

/// A version of TLS.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

/// A cipher with its keys. `sequence` is the number of the next record.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsCipher {
    /// AES-GCM with keys of 128 bits: RFC 5288.
    #[expect(missing_docs, reason = "the names of the RFC")]
    Aes128Gcm { iv: [u8; 8], key: [u8; 16], salt: [u8; 4], sequence: [u8; 8] },
    /// AES-GCM with keys of 256 bits: RFC 5288.
    #[expect(missing_docs, reason = "the names of the RFC")]
    Aes256Gcm { iv: [u8; 8], key: [u8; 32], salt: [u8; 4], sequence: [u8; 8] },
    /// ChaCha20-Poly1305: RFC 7905.
    #[expect(missing_docs, reason = "the names of the RFC")]
    Chacha20Poly1305 { iv: [u8; 12], key: [u8; 32], sequence: [u8; 8] },
}

/// The name of the cipher. Its keys are not shown.
impl fmt::Debug for TlsCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm { .. } => "Aes128Gcm",
            Self::Aes256Gcm { .. } => "Aes256Gcm",
            Self::Chacha20Poly1305 { .. } => "Chacha20Poly1305",
        })
    }
}

impl SetValue for TlsKeys {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        let version: u16 = match self.version {
            TlsVersion::V1_2 => 0x0303,
            TlsVersion::V1_3 => 0x0304,
        };
        let (cipher, parts): (u16, [&[u8]; 4]) = match &self.cipher {
            TlsCipher::Aes128Gcm { iv, key, salt, sequence } => (51, [iv, key, salt, sequence]),
            TlsCipher::Aes256Gcm { iv, key, salt, sequence } => (52, [iv, key, salt, sequence]),
            TlsCipher::Chacha20Poly1305 { iv, key, sequence } => (54, [iv, key, &[], sequence]),
        };
        let head = [version.to_ne_bytes(), cipher.to_ne_bytes()].concat();
        Some([head, parts.concat()].concat())
    }
}

options! {
    level libc::SOL_TLS;
    /// Decrypt received records in the kernel: Linux 4.17.
    TLS_RX: SocketOption<TlsKeys, WriteOnly> = 2;
    /// Expect TLS 1.3 records without padding: Linux 6.0.
    TLS_RX_EXPECT_NO_PAD: SocketOption<bool> = 4;
    /// Encrypt sent records in the kernel: Linux 4.13.
    TLS_TX: SocketOption<TlsKeys, WriteOnly> = 1;
    /// The caller does not change files while they are sent, so that the device need not copy them:
    /// Linux 5.19.
    TLS_TX_ZEROCOPY_RO: SocketOption<bool> = 3;
}
