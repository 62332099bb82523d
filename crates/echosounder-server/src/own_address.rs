//! A socket filter against datagrams that claim to come from the address that they are sent to, and
//! came from another host.
//!
//! The server takes a sender with its own address for a socket on this host. Linux drops IPv4
//! packets from outside with such a source (Documentation/networking/ip-sysctl, accept_local), but
//! not IPv6 packets. The interface in IP_PKTINFO and IPV6_PKTINFO does not distinguish them: for a
//! datagram between two sockets of this host the kernel reports the interface that has the address
//! (`ipv4_pktinfo_prepare` in net/ipv4/ip_sockglue.c, `ip6_rcv_core` in net/ipv6/ip6_input.c). The
//! type of the device that delivered the packet does, and a filter can read it.

use std::io;

use echosounder_socket::Socket;
use echosounder_socket::option::BpfInstruction;

/// BPF_LD | BPF_W | BPF_ABS, linux/filter.h: load a word of the packet.
const LOAD_WORD: u16 = 0x20;
/// BPF_LD | BPF_H | BPF_ABS: load a half-word.
const LOAD_HALF: u16 = 0x28;
/// BPF_LD | BPF_B | BPF_ABS: load a byte.
const LOAD_BYTE: u16 = 0x30;
/// BPF_ALU | BPF_AND | BPF_K.
const AND: u16 = 0x54;
/// BPF_MISC | BPF_TAX: copy the accumulator to the index register.
const TO_INDEX: u16 = 0x07;
/// BPF_JMP | BPF_JEQ | BPF_K: compare with a constant.
const IS: u16 = 0x15;
/// BPF_JMP | BPF_JEQ | BPF_X: compare with the index register.
const IS_INDEX: u16 = 0x1d;

/// SKF_NET_OFF: where the network header begins.
const IP_HEADER: u32 = 0xfff0_0000;
/// SKF_AD_OFF + SKF_AD_HATYPE: the type of the device.
const DEVICE_TYPE: u32 = 0xffff_f000 + 28;
/// ARPHRD_LOOPBACK, linux/if_arp.h.
const LOOPBACK: u32 = 772;

const DROP: BpfInstruction = BpfInstruction::ret(0);
const ACCEPT: BpfInstruction = BpfInstruction::ret(u32::MAX);

/// Accepts packets that the loopback device delivers, and packets whose source and destination
/// differ. Jumps count the instructions to skip.
const PROGRAM: [BpfInstruction; 27] = [
    BpfInstruction::statement(LOAD_HALF, DEVICE_TYPE),
    BpfInstruction::jump(IS, LOOPBACK, 24, 0),
    BpfInstruction::statement(LOAD_BYTE, IP_HEADER),
    BpfInstruction::statement(AND, 0xf0),
    BpfInstruction::jump(IS, 0x60, 4, 0),
    // IPv4: RFC 791 section 3.1.
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 12),
    BpfInstruction::statement(TO_INDEX, 0),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 16),
    BpfInstruction::jump(IS_INDEX, 0, 16, 17),
    // IPv6, word by word: RFC 8200 section 3.
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 8),
    BpfInstruction::statement(TO_INDEX, 0),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 24),
    BpfInstruction::jump(IS_INDEX, 0, 0, 13),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 12),
    BpfInstruction::statement(TO_INDEX, 0),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 28),
    BpfInstruction::jump(IS_INDEX, 0, 0, 9),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 16),
    BpfInstruction::statement(TO_INDEX, 0),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 32),
    BpfInstruction::jump(IS_INDEX, 0, 0, 5),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 20),
    BpfInstruction::statement(TO_INDEX, 0),
    BpfInstruction::statement(LOAD_WORD, IP_HEADER + 36),
    BpfInstruction::jump(IS_INDEX, 0, 0, 1),
    DROP,
    ACCEPT,
];

/// Makes a UDP socket drop datagrams from outside whose source is the address that they were sent
/// to. Without effect if the socket has a filter already.
///
/// The kernel counts them as it counts those for which there is no buffer space.
pub(crate) fn drop_forged(socket: &Socket) -> io::Result<()> {
    // The filter of an adopted socket may be locked or an eBPF program (EACCES).
    match socket.filter() {
        Ok(filter) if filter.is_empty() => socket.attach_filter(&PROGRAM),
        _ => Ok(()),
    }
}
