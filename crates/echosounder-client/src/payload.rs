//! What a load's messages say: a number, and nothing that could be taken for a stamp.

use echosounder_proto::{BLANK, Scan, scan};

/// The shortest message with a blank before its number.
pub const BLANK_FROM: usize = BLANK.len() + NUMBER + 1;

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

/// The number that a message of this length carries, of which only so many digits fit.
pub(crate) fn key(number: u64, len: usize) -> u64 {
    let body = if BLANK_FROM <= len { NUMBER } else { NUMBER.min(len - 1) };
    if body < NUMBER { number % 10_u64.pow(u32::try_from(body).unwrap_or(0)) } else { number }
}

/// Takes an answer to one message apart: whether it is stamped, and the message's key and length without the stamp
/// that was put before it. `None` if it is no answer to such a message.
pub(crate) fn read(answer: &[u8], scratch: &mut Vec<u8>) -> Option<Answer> {
    let (stamped, body) = match scan(answer) {
        Scan::Stamp(_, len) => (true, &answer[len..]),
        _ => (false, answer.strip_prefix(BLANK).unwrap_or(answer)),
    };
    let digits = body.iter().take(NUMBER).take_while(|byte| byte.is_ascii_digit()).count();
    let number = body[..digits].iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    scratch.clear();
    if digits == 0 || digits != NUMBER.min(body.len() - 1) {
        return None;
    }
    write_body(number, body.len(), scratch);
    (scratch == body).then_some(Answer { key: number, stamped })
}

/// What an answer to one message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) key: u64,
    pub(crate) stamped: bool,
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
                    assert_eq!(told.key, key(number, len), "{len}");
                    assert_eq!(told.stamped, stamp != "none" || BLANK_FROM <= len, "{stamp} {len}");
                    let mut wrong = answer;
                    *wrong.last_mut().unwrap() ^= 1;
                    assert_eq!(read(&wrong, &mut scratch), None);
                }
            }
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
