//! Ethernet frames with IP packets, made by hand so that every field can be forged.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// The hardware address that every host receives.
pub(crate) const BROADCAST_MAC: Mac = [0xff; 6];

const ETHERNET_LEN: usize = 14;
const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;

/// Returns an Ethernet frame with this IP packet.
pub(crate) fn ethernet(from: Mac, to: Mac, packet: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&to[..], &from, &kind, packet].concat()
}

/// Returns an IP packet with a UDP datagram.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut segment =
        [&from.port().to_be_bytes()[..], &to.port().to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload]
            .concat();
    let sum = match transport_checksum(from.ip(), to.ip(), UDP, &segment) {
        // RFC 768: zero means that there is no checksum.
        0 => 0xffff,
        sum => sum,
    };
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(from.ip(), to.ip(), UDP, &segment)
}

/// Changes the source of a frame with a UDP datagram over IPv4. The datagram is then without a
/// checksum, which RFC 768 allows.
pub(crate) fn set_source(frame: &mut [u8], from: SocketAddrV4) {
    let packet = &mut frame[ETHERNET_LEN..];
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[10..12].fill(0);
    let sum = checksum([&packet[..20]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[20..22].copy_from_slice(&from.port().to_be_bytes());
    packet[26..28].fill(0);
}

/// Returns an IP packet with the first TCP segment of a connection: a SYN.
pub(crate) fn syn(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let mut segment =
        [&from.port().to_be_bytes()[..], &to.port().to_be_bytes(), &sequence.to_be_bytes(), &[0; 4]].concat();
    // Five words of header, the flag SYN, and a window of 64,240 bytes.
    segment.extend([0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]);
    let sum = transport_checksum(from.ip(), to.ip(), TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(from.ip(), to.ip(), TCP, &segment)
}

/// Returns an IPv4 packet with an ICMP error of this type and code about `about`, a packet that
/// `to` has sent. `mtu` is the next hop's MTU of "fragmentation needed".
pub(crate) fn icmp_error(from: IpAddr, to: IpAddr, kind: u8, code: u8, mtu: u16, about: &[u8]) -> Vec<u8> {
    // RFC 792: the header and eight bytes more.
    let about = &about[..about.len().min(28)];
    let mut message = [&[kind, code, 0, 0, 0, 0][..], &mtu.to_be_bytes(), about].concat();
    let sum = checksum([&message[..]]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(from, to, ICMP, &message)
}

fn ip(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let len = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
            let mut header = [0; 20];
            header[0] = 0x45;
            header[2..4].copy_from_slice(&len.to_be_bytes());
            header[8..10].copy_from_slice(&[64, protocol]);
            header[12..16].copy_from_slice(&from.octets());
            header[16..20].copy_from_slice(&to.octets());
            let sum = checksum([&header[..]]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header, payload].concat()
        }
        (from, to) => {
            let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            let mut header = [0; 40];
            header[0] = 0x60;
            header[4..6].copy_from_slice(&len.to_be_bytes());
            header[6..8].copy_from_slice(&[protocol, 64]);
            header[8..24].copy_from_slice(&octets(from));
            header[24..40].copy_from_slice(&octets(to));
            [&header, payload].concat()
        }
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn transport_checksum(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let len = u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes();
    checksum([&octets(from)[..], &octets(to), &[0, protocol], &len, segment])
}

/// Returns the Internet checksum of RFC 1071. All parts but the last have an even length.
pub(crate) fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum & 0xffff).unwrap_or(0)
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Returns the UDP datagram of a frame, or `None` if the frame has none or a fragment.
    pub(crate) fn of(frame: &'a [u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET_LEN..)?;
        let (from, to, segment) = match (frame.get(12..14)?, packet.first()? >> 4) {
            ([0x08, 0x00], 4) if packet.get(9) == Some(&UDP) && u16_at(packet, 6)? & 0x3fff == 0 => {
                let header = usize::from(packet[0] & 0xf) * 4;
                (ip_at::<4>(packet, 12)?, ip_at::<4>(packet, 16)?, packet.get(header..)?)
            }
            ([0x86, 0xdd], 6) if packet.get(6) == Some(&UDP) => {
                (ip_at::<16>(packet, 8)?, ip_at::<16>(packet, 24)?, packet.get(40..)?)
            }
            _ => return None,
        };
        let len = usize::from(u16_at(segment, 4)?);
        Some(Self {
            from: SocketAddr::new(from, u16_at(segment, 0)?),
            to: SocketAddr::new(to, u16_at(segment, 2)?),
            payload: segment.get(8..len)?,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn ip_at<const LEN: usize>(bytes: &[u8], at: usize) -> Option<IpAddr>
where
    IpAddr: From<[u8; LEN]>,
{
    Some(<[u8; LEN]>::try_from(bytes.get(at..at + LEN)?).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read_back_from_its_frame() {
        for (from, to) in [("10.0.0.1:7", "10.0.0.2:21567"), ("[fd99::1]:7", "[fd99::2]:21567")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let frame = ethernet([2; 6], BROADCAST_MAC, &udp(from, to, b"hello"));
            assert_eq!(Datagram::of(&frame), Some(Datagram { from, to, payload: b"hello" }));
        }
    }

    #[test]
    fn a_frame_with_another_source_is_valid() {
        let to = "10.0.0.2:862".parse().unwrap();
        let mut frame = ethernet([2; 6], [2; 6], &udp("10.0.0.1:7".parse().unwrap(), to, b"hello"));
        let from: SocketAddrV4 = "192.0.2.33:40001".parse().unwrap();
        set_source(&mut frame, from);
        assert_eq!(Datagram::of(&frame), Some(Datagram { from: from.into(), to, payload: b"hello" }));
        let header = &frame[ETHERNET_LEN..][..20];
        assert_eq!((checksum([header]), &frame[40..42]), (0, &[0, 0][..]));
    }

    /// The example of RFC 1071, section 3.
    #[test]
    fn checksum_is_that_of_the_rfc() {
        assert_eq!(checksum([&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7][..]]), !0xddf2);
    }

    #[test]
    fn truncated_frames_have_no_datagram() {
        let frame = ethernet(
            [2; 6],
            [2; 6],
            &udp("10.0.0.1:7".parse().unwrap(), "10.0.0.2:9".parse().unwrap(), b"hello"),
        );
        for len in 0..frame.len() {
            assert_eq!(Datagram::of(&frame[..len]), None, "{len}");
        }
    }
}
