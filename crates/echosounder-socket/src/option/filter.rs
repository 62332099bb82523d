//! Classic BPF, the language of packet filters.

/// An instruction of a classic BPF program: `struct sock_filter`, linux/filter.h. The kernel's
/// document networking/filter describes the machine.
///
/// [`Socket::attach_filter`](crate::Socket::attach_filter) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "sock_filter")]
pub struct BpfInstruction {
    /// The operation, a sum of BPF_ constants.
    pub code: u16,
    /// Number of instructions to skip if a comparison holds.
    pub jump_true: u8,
    /// Number of instructions to skip if a comparison fails.
    pub jump_false: u8,
    /// The operand, whose meaning depends on the operation.
    pub operand: u32,
}

impl BpfInstruction {
    /// The length of an instruction in bytes.
    pub(crate) const LEN: usize = 8;

    /// BPF_RET with a constant: accept the first `len` bytes of the packet, or drop it if `len` is
    /// 0. In a reuseport program, choose the socket with this index.
    pub const fn ret(len: u32) -> Self {
        Self::statement(0x06, len)
    }

    /// Returns an instruction without jumps: BPF_STMT of linux/filter.h.
    pub const fn statement(code: u16, operand: u32) -> Self {
        Self { code, jump_true: 0, jump_false: 0, operand }
    }

    /// Returns an instruction that jumps: BPF_JUMP of linux/filter.h.
    pub const fn jump(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Self {
        Self { code, jump_true, jump_false, operand }
    }

    /// Decodes a whole program; `None` if an instruction is incomplete.
    pub(crate) fn decode_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let decode = |bytes: &[u8]| {
            let &[code_low, code_high, jump_true, jump_false, ref operand @ ..] = bytes else { return None };
            let code = u16::from_ne_bytes([code_low, code_high]);
            Some(Self { code, jump_true, jump_false, operand: u32::from_ne_bytes(operand.try_into().ok()?) })
        };
        bytes.chunks(Self::LEN).map(decode).collect()
    }
}

const _: () = assert!(size_of::<libc::sock_filter>() == BpfInstruction::LEN);
const _: () = assert!(size_of::<BpfInstruction>() == BpfInstruction::LEN);
const _: () = assert!(align_of::<BpfInstruction>() == align_of::<libc::sock_filter>());
