//! What stands before an answered message.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::responder::StampContext;
use crate::time::LocalTime;

/// Most bytes of a rendered stamp.
pub const PREFIX_MAX: usize = 128;

/// An `ns` stamp with nothing filled in: a call that asks to be answered at its own length.
pub const TIMESTAMP_PLACEHOLDER: &[u8; 42] = b"[0000000000000000000 0000000000000000000] ";

/// Whether a message asks for its times: it begins with the blank.
pub(crate) fn starts_with_placeholder(message: &[u8]) -> bool {
    // Nearly every message that does not is told from it by its first byte, without a call.
    message.first() == TIMESTAMP_PLACEHOLDER.first() && message.starts_with(TIMESTAMP_PLACEHOLDER)
}

/// A stamp to be filled in: text and fields, at most [`PREFIX_MAX`] bytes when rendered.
///
/// Parsed from `ctime`, `rfc3339`, `unix`, `ns`, `none`, or from text with the fields `{ctime}` `{rfc3339}`
/// `{unix}` `{rx}` `{tx}` `{peer}` `{local}` `{host}` `{seq}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Ctime,
    Rfc3339,
    Unix,
    Rx,
    Tx,
    Peer,
    Local,
    Host,
    Seq,
}

/// Name, field, and the width that it always has; 1 for a field whose text varies.
const FIELDS: [(&str, Field, usize); 9] = [
    ("ctime", Field::Ctime, 24),
    ("rfc3339", Field::Rfc3339, 35),
    ("unix", Field::Unix, 20),
    ("rx", Field::Rx, 19),
    ("tx", Field::Tx, 19),
    ("peer", Field::Peer, 1),
    ("local", Field::Local, 1),
    ("host", Field::Host, 1),
    ("seq", Field::Seq, 1),
];

/// Why a text is not a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A `{` without its `}`.
    Unclosed,
    /// A field of this name does not exist.
    UnknownField(String),
    /// A character that does not print in ASCII.
    Unprintable(char),
    /// Longer than [`PREFIX_MAX`] bytes when rendered.
    TooLong,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("a { has no }"),
            Self::UnknownField(name) => {
                write!(f, "no field is named {{{}}}; there are", name.escape_debug())?;
                FIELDS.iter().try_for_each(|(name, ..)| write!(f, " {{{name}}}"))
            }
            Self::Unprintable(c) => {
                write!(f, "{} is not a printable ASCII character", c.escape_unicode())
            }
            Self::TooLong => write!(f, "the stamp is over {PREFIX_MAX} bytes long"),
        }
    }
}

impl core::error::Error for TemplateError {}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        match text {
            "ctime" => Ok(Self::ctime()),
            "rfc3339" => Self::parse("[{rfc3339}] "),
            "unix" => Self::parse("[{unix}] "),
            "ns" => Self::parse("[{rx} {tx}] "),
            "none" => Ok(Self::none()),
            template => Self::parse(template),
        }
    }
}

impl Template {
    /// `[{ctime}] `, the textbook's stamp.
    pub fn ctime() -> Self {
        Self { pieces: Vec::from(["[".into(), Piece::Field(Field::Ctime), "] ".into()]) }
    }

    /// Nothing: the plain echo of RFC 862.
    pub fn none() -> Self {
        Self { pieces: Vec::new() }
    }

    /// Appends the stamp to `out`. What goes beyond [`PREFIX_MAX`] bytes is cut off.
    pub(crate) fn render(&self, context: &StampContext<'_>, out: &mut Vec<u8>) {
        let mut stamp = Room { out, left: PREFIX_MAX };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => stamp.put(text.as_bytes()),
                Piece::Field(field) => field.render(context, &mut stamp),
            }
        }
    }

    /// The stamp of one second, if it is the same for all its messages.
    pub fn render_per_second(&self, label: &LocalTime, host: &str) -> Option<Vec<u8>> {
        if self.has(|field| !matches!(field, Field::Ctime | Field::Host)) {
            return None;
        }
        let mut stamp = Vec::new();
        self.render(&StampContext { host, ..StampContext::anonymous(label) }, &mut stamp);
        Some(stamp)
    }

    /// Whether nothing is stamped.
    pub fn is_none(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it shows `{rx}` or `{tx}`, which are read around the very receive.
    pub fn uses_rx_tx(&self) -> bool {
        self.has(|field| matches!(field, Field::Rx | Field::Tx))
    }

    /// Whether it shows `{peer}` or `{local}`.
    pub fn uses_addresses(&self) -> bool {
        self.has(|field| matches!(field, Field::Peer | Field::Local))
    }

    /// Whether every stamp it makes begins with a built-in shape, so that other servers know it for an answer.
    pub fn starts_with_builtin(&self) -> bool {
        let text = |piece: Option<&Piece>, wanted: fn(&str) -> bool| match piece {
            Some(Piece::Text(text)) => wanted(text),
            _ => false,
        };
        let opens = text(self.pieces.first(), |text| text == "[");
        match self.pieces.get(1..) {
            Some([Piece::Field(Field::Ctime | Field::Rfc3339 | Field::Unix), rest @ ..]) => {
                opens && text(rest.first(), |text| text.starts_with("] "))
            }
            Some([Piece::Field(Field::Rx), space, Piece::Field(Field::Tx), rest @ ..]) => {
                opens && text(Some(space), |text| text == " ") && text(rest.first(), |t| t.starts_with("] "))
            }
            _ => false,
        }
    }

    fn has(&self, wanted: fn(Field) -> bool) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(field) if wanted(*field)))
    }

    fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(c) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(TemplateError::Unprintable(c));
        }
        let mut pieces = Vec::new();
        let mut width = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, field) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if !literal.is_empty() {
                width += literal.len();
                pieces.push(literal.into());
            }
            rest = field;
            if let Some(named) = field.strip_prefix('{') {
                let (name, after) = named.split_once('}').ok_or(TemplateError::Unclosed)?;
                let &(_, field, fixed) = FIELDS
                    .iter()
                    .find(|(known, ..)| *known == name)
                    .ok_or_else(|| TemplateError::UnknownField(name.into()))?;
                width += fixed;
                pieces.push(Piece::Field(field));
                rest = after;
            }
        }
        if width > PREFIX_MAX { Err(TemplateError::TooLong) } else { Ok(Self { pieces }) }
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl Field {
    fn render(self, context: &StampContext<'_>, stamp: &mut Room<'_>) {
        let label = context.label;
        match self {
            Self::Ctime => stamp.put(&label.ctime),
            Self::Rfc3339 => {
                stamp.put(&label.date_time);
                stamp.put(b".");
                stamp.put(&decimal::<9>(label.wall.subsec_nanos()));
                stamp.put(&label.offset);
            }
            Self::Unix => {
                stamp.put(&decimal::<10>(label.wall.seconds()));
                stamp.put(b".");
                stamp.put(&decimal::<9>(label.wall.subsec_nanos()));
            }
            Self::Rx => stamp.put(&decimal::<19>(context.rx.as_nanos())),
            Self::Tx => stamp.put(&decimal::<19>(context.tx.as_nanos())),
            Self::Peer => stamp.show(context.peer),
            Self::Local => stamp.show(context.local),
            Self::Host => stamp.show(&context.host),
            Self::Seq => stamp.show(&context.seq),
        }
    }
}

/// The buffer's end as far as one stamp may use it.
struct Room<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl Room<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let fits = &bytes[..bytes.len().min(self.left)];
        self.out.extend_from_slice(fits);
        self.left -= fits.len();
    }

    fn show(&mut self, value: &dyn fmt::Display) {
        // A room takes everything and keeps what fits, so only the value's own Display could fail.
        let _ = write!(self, "{value}");
    }
}

impl Write for Room<'_> {
    /// Names come from strangers: what is not printable ASCII is shown as `?`.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(&[if matches!(byte, b' '..=b'~') { byte } else { b'?' }]));
        Ok(())
    }
}

/// The last `N` decimal digits of `value`, with leading zeros.
///
/// Not inlined, or the digits of every field are computed for every stamp, whichever fields it has.
#[inline(never)]
pub(crate) fn decimal<const N: usize>(mut value: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for pair in digits.rchunks_mut(2) {
        let last_two = &PAIRS[usize::try_from(value % 100).unwrap_or(0)];
        value /= 100;
        pair.copy_from_slice(&last_two[2 - pair.len()..]);
    }
    digits
}

/// `00` to `99`: two digits cost one division.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};
