//! What a load's messages say: a number, and nothing that could be taken for a stamp.

use echosounder_proto::{BLANK, Scan, scan};

/// The shortest message with a blank before its number.
const BLANK_FROM: usize = BLANK.len() + NUMBER + 1;

/// The shortest datagram: seven digits tell apart as many as are ever under way.
pub const DATAGRAM_MIN: usize = 8;

/// Digits of a number that has room.
const NUMBER: usize = 19;

/// Appends the message of this number and length: a blank if there is room for one, the number, filler, and a
/// newline.
pub(crate) fn write(number: u64, len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    if BLANK_FROM <= len {
        out.extend_from_slice(BLANK);
    }
    write_body(number, len - (out.len() - start), out);
}

fn write_body(number: u64, len: usize, out: &mut Vec<u8>) {
    let digits = NUMBER.min(len - 1);
    let mut text = [b'0'; NUMBER];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    out.extend_from_slice(&text[NUMBER - digits..]);
    out.resize(out.len() + len - digits - 1, b'.');
    out.push(b'\n');
}

/// How many bytes of a message of this length are behind its blank.
pub(crate) fn body_len(len: usize) -> usize {
    if BLANK_FROM <= len { len - BLANK.len() } else { len }
}

/// Takes an answer to one message apart. `None` if it is no answer to such a message.
pub(crate) fn read(answer: &[u8], scratch: &mut Vec<u8>) -> Option<Answer> {
    let (stamped, rest) = match scan(answer) {
        Scan::Stamp(_, len) => (true, &answer[len..]),
        _ => (false, answer),
    };
    // A server that does not know blanks puts its stamp before them.
    let body = rest.strip_prefix(BLANK).unwrap_or(rest);
    let digits = body.iter().take(NUMBER).take_while(|byte| byte.is_ascii_digit()).count();
    let number = body[..digits].iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    scratch.clear();
    if digits == 0 || digits != NUMBER.min(body.len() - 1) {
        return None;
    }
    write_body(number, body.len(), scratch);
    (scratch == body).then_some(Answer { number, stamped, body_len: body.len() })
}

/// What an answer to one message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The number's last digits, as many as fit.
    number: u64,
    /// Whether it begins with a filled stamp.
    pub(crate) stamped: bool,
    /// Its length without stamp and blank.
    pub(crate) body_len: usize,
}

impl Answer {
    /// The whole number, if the next that is sent will be `next`: the last that ends in these digits. `None` if
    /// there is none.
    pub(crate) fn number(&self, next: u64) -> Option<u64> {
        if NUMBER < self.body_len {
            return Some(self.number).filter(|number| *number < next);
        }
        let fit = u32::try_from(self.body_len - 1).ok()?;
        let ago = next.checked_sub(1 + self.number)? % 10_u64.pow(fit);
        Some(next - 1 - ago)
    }
}

#[cfg(test)]
mod tests {
    use echosounder_proto::{Conversation, Framing, Scene, WallLabel};

    use super::*;

    /// What a server with this stamp answers.
    fn answer(stamp: &str, mut message: Vec<u8>) -> Vec<u8> {
        let conversation = Conversation { stamp: stamp.parse().unwrap(), framing: Framing::Message };
        let mut head = Vec::new();
        conversation.answer_datagram(&mut message, &mut Scene::anonymous(&WallLabel::EXAMPLE), &mut head);
        [head, message].concat()
    }

    #[test]
    fn every_answer_is_known_by_its_number() {
        let mut scratch = Vec::new();
        for len in DATAGRAM_MIN..300 {
            for number in [0, 7, 9_999_999, 123_456_789_012] {
                let mut message = Vec::new();
                write(number, len, &mut message);
                assert_eq!(message.len(), len);
                for stamp in ["ctime", "rfc3339", "unix", "ns", "none"] {
                    let answer = answer(stamp, message.clone());
                    let told = read(&answer, &mut scratch).unwrap();
                    assert_eq!(told.number(number + 1), Some(number), "{len}");
                    assert_eq!(told.number(number + 9_999_999), Some(number), "{len}");
                    assert_eq!(told.body_len, body_len(len));
                    assert_eq!(told.stamped, stamp != "none" || BLANK_FROM <= len, "{stamp} {len}");
                    let mut wrong = answer;
                    *wrong.last_mut().unwrap() ^= 1;
                    assert_eq!(read(&wrong, &mut scratch), None);
                }
            }
        }
    }

    #[test]
    fn a_stamp_may_stand_before_a_blank() {
        let mut answer = b"[Sun Nov 22 12:19:36 2026] ".to_vec();
        write(5, 100, &mut answer);
        let told = read(&answer, &mut Vec::new()).unwrap();
        assert_eq!((told.number(6), told.stamped, told.body_len), (Some(5), true, body_len(100)));
    }

    #[test]
    fn a_number_that_was_not_sent_is_none() {
        for len in [DATAGRAM_MIN, 30, 100] {
            let mut answer = Vec::new();
            write(5, len, &mut answer);
            assert_eq!(read(&answer, &mut Vec::new()).unwrap().number(5), None, "{len}");
        }
    }

    #[test]
    fn nonsense_is_no_answer() {
        let mut scratch = Vec::new();
        for nonsense in
            [&b""[..], b"\n", b"x", b"hello\n", b"[Sun Nov 22 12:19:36 2026] ", b"12a\n", b"0000000.\n\n"]
        {
            assert_eq!(read(nonsense, &mut scratch), None, "{nonsense:?}");
        }
    }
}
