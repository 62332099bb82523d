//! The prefix of a reply: a template of text and fields.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::placeholder::decimal;
use crate::stamp_context::StampContext;
use crate::time::LocalTime;

/// The longest rendered prefix in bytes.
pub const PREFIX_MAX: usize = 128;

/// A prefix of text and fields, at most [`PREFIX_MAX`] bytes when rendered.
///
/// Parsed from `ctime`, `rfc3339`, `unix`, `ns`, `none`, or from text with the fields `{ctime}`
/// `{rfc3339}` `{unix}` `{rx}` `{tx}` `{peer}` `{local}` `{host}` `{seq}`.
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

/// Name, field, and the fixed width; 1 for a field of variable width.
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
    /// A character that is not printable ASCII.
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
    /// Returns `[{ctime}] `, the prefix of the textbook.
    pub fn ctime() -> Self {
        Self { pieces: Vec::from(["[".into(), Piece::Field(Field::Ctime), "] ".into()]) }
    }

    /// Returns the empty prefix: the plain echo of RFC 862. A
    /// [placeholder](crate::TIMESTAMP_PLACEHOLDER) at the beginning of a message is filled in all the
    /// same.
    pub fn none() -> Self {
        Self { pieces: Vec::new() }
    }

    /// Appends the prefix to `out`, truncated to [`PREFIX_MAX`] bytes.
    pub(crate) fn render(&self, context: &StampContext<'_>, out: &mut Vec<u8>) {
        let mut stamp = BoundedWriter { out, left: PREFIX_MAX };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => stamp.put(text.as_bytes()),
                Piece::Field(field) => field.render(context, &mut stamp),
            }
        }
    }

    /// Returns the prefix of one second, if it is the same for all messages in it. The prefix
    /// replaces the content of `buffer`, so that a caller can pass the one of the second before.
    pub fn render_per_second(
        &self,
        local_time: &LocalTime,
        host: &str,
        mut buffer: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if self.has(|field| !matches!(field, Field::Ctime | Field::Host)) {
            return None;
        }
        buffer.clear();
        self.render(&StampContext { host, ..StampContext::anonymous(local_time) }, &mut buffer);
        Some(buffer)
    }

    /// Returns whether the prefix is empty.
    pub fn is_none(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns whether it has `{rx}` or `{tx}`, for which the clock is read for each message.
    pub fn uses_rx_tx(&self) -> bool {
        self.has(|field| matches!(field, Field::Rx | Field::Tx))
    }

    /// Returns whether it has `{peer}` or `{local}`.
    pub fn uses_addresses(&self) -> bool {
        self.has(|field| matches!(field, Field::Peer | Field::Local))
    }

    /// Returns whether every prefix begins with a built-in timestamp, by which other servers
    /// recognise a reply.
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
    fn render(self, context: &StampContext<'_>, stamp: &mut BoundedWriter<'_>) {
        let local_time = context.local_time;
        match self {
            Self::Ctime => stamp.put(&local_time.ctime),
            Self::Rfc3339 => {
                stamp.put(&local_time.date_time);
                stamp.put(b".");
                stamp.put(&decimal::<9>(local_time.wall.subsec_nanos()));
                stamp.put(&local_time.offset);
            }
            Self::Unix => {
                stamp.put(&decimal::<10>(local_time.wall.seconds()));
                stamp.put(b".");
                stamp.put(&decimal::<9>(local_time.wall.subsec_nanos()));
            }
            Self::Rx => stamp.put(&decimal::<19>(context.rx.as_nanos())),
            Self::Tx => stamp.put(&decimal::<19>(context.tx.as_nanos())),
            Self::Peer => stamp.put_display(context.peer),
            Self::Local => stamp.put_display(context.local),
            Self::Host => stamp.put_display(&context.host),
            Self::Seq => stamp.put_display(&context.seq),
        }
    }
}

/// Appends to a buffer up to a number of bytes, and drops the rest.
struct BoundedWriter<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl BoundedWriter<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let fits = &bytes[..bytes.len().min(self.left)];
        self.out.extend_from_slice(fits);
        self.left -= fits.len();
    }

    fn put_display(&mut self, value: &dyn fmt::Display) {
        // The writer never fails; only the value's own Display could.
        let _ = write!(self, "{value}");
    }
}

impl Write for BoundedWriter<'_> {
    /// Writes `?` for everything but printable ASCII: names come from remote hosts.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(&[if matches!(byte, b' '..=b'~') { byte } else { b'?' }]));
        Ok(())
    }
}
