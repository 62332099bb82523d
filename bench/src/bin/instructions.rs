//! Counts the instructions per message of the responder and of the reader, without I/O.
//!
//! `cargo run --release --bin instructions` runs each case twice under callgrind, with twice as
//! many messages the second time, and divides the difference, so that the cost of starting does not
//! count. Unlike times, the counts are the same on a busy machine. With a file (`instructions.txt`
//! is beside the manifest) the program fails if a case has grown by more than 2 %; with `--write
//! FILE` it writes one.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::hint::black_box;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use echosounder_proto::{
    Datagram, DatagramFilter, EchoReader, Framing, Input, LocalTime, MonoTime, PlainEcho, ReplyForm,
    ReplyLimits, ReplyMeter, Responder, Sender, Source, StampContext, TIMESTAMP_PLACEHOLDER,
};

/// How often a case is repeated the first time.
const ROUNDS: u64 = 2000;

/// The factor by which a case may grow.
const GROWTH_MAX: f64 = 1.02;

/// A case: its name, the messages of a round, and a function that runs a number of rounds.
type Case = (&'static str, u64, fn(u64));

const CASES: [Case; 8] = [
    ("stream: a read of 64 B, ctime", 1, |rounds| reply("ctime", "1024", &[b'x'; 64], rounds)),
    ("stream: a read of 1 KiB, ctime", 1, |rounds| reply("ctime", "1024", &[b'x'; 1024], rounds)),
    ("stream: a read of 16 KiB in 16 messages, ctime", 16, |rounds| {
        reply("ctime", "1024", &[b'x'; 16_384], rounds);
    }),
    ("stream: a read of 64 B, ns", 1, |rounds| reply("ns", "1024", &[b'x'; 64], rounds)),
    ("stream: a read of 64 B, placeholder", 1, |rounds| reply("ctime", "1024", &placeholder(64), rounds)),
    ("stream: a read of 16 lines of 64 B, ctime", 16, |rounds| reply("ctime", "line", &lines(), rounds)),
    ("datagram: 64 B, ctime, filtered", 1, datagrams),
    ("reader: a reply of 64 B and its timestamp", 1, read),
];

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--case", name, rounds] => {
            let (_, _, run) = CASES.iter().find(|case| case.0 == *name).context("no such case")?;
            run(rounds.parse()?);
            Ok(())
        }
        [] => show(&count_all()?),
        ["--write", file] => {
            let counts = count_all()?;
            let text: String = counts.iter().map(|(name, count)| format!("{count:.1}\t{name}\n")).collect();
            fs::write(file, text).with_context(|| format!("write {file}"))?;
            show(&counts)
        }
        [file] => compare(&count_all()?, &read_counts(file)?),
        _ => bail!("usage: instructions [FILE | --write FILE]"),
    }
}

fn count_all() -> Result<Vec<(&'static str, f64)>> {
    CASES.iter().map(|(name, messages, _)| Ok((*name, count(name, *messages)?))).collect()
}

/// Returns the instructions of one message.
fn count(name: &str, messages: u64) -> Result<f64> {
    let [few, many] = [ROUNDS, 2 * ROUNDS].map(|rounds| instructions(name, rounds));
    let each = many?.checked_sub(few?).context("more rounds take fewer instructions")?;
    Ok(each as f64 / (ROUNDS * messages) as f64)
}

fn instructions(name: &str, rounds: u64) -> Result<u64> {
    let program = env::current_exe()?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--case", name, &rounds.to_string()])
        .output()
        .context("cannot run valgrind")?;
    let stderr = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{stderr}");
    let line = stderr
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .context("callgrind prints no count")?;
    Ok(line.1.trim().parse()?)
}

fn show(counts: &[(&str, f64)]) -> Result<()> {
    println!("| case | instructions per message |\n|---|---:|");
    counts.iter().for_each(|(name, count)| println!("| {name} | {count:.0} |"));
    Ok(())
}

fn read_counts(file: &str) -> Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    let line = |line: &str| {
        let (count, name) = line.split_once('\t').context("a line is a count, a tab and a case")?;
        Ok((name.to_owned(), count.parse()?))
    };
    text.lines().map(line).collect()
}

fn compare(counts: &[(&str, f64)], before: &BTreeMap<String, f64>) -> Result<()> {
    println!("| case | instructions per message | before | ratio |\n|---|---:|---:|---:|");
    let mut grown = Vec::new();
    for (name, count) in counts {
        let Some(before) = before.get(*name) else {
            println!("| {name} | {count:.0} | – | – |");
            continue;
        };
        let ratio = count / before;
        println!("| {name} | {count:.0} | {before:.0} | {ratio:.3} |");
        if GROWTH_MAX < ratio {
            grown.push(*name);
        }
    }
    ensure!(grown.is_empty(), "grown: {}", grown.join(", "));
    Ok(())
}

/// Replies to the bytes of a read.
fn reply(stamp: &str, framing: &str, input: &[u8], rounds: u64) {
    let framing = match framing {
        "line" => Framing::Line(const { std::num::NonZeroUsize::new(65_536).expect("it is not zero") }),
        _ => Framing::default(),
    };
    let responder = Responder { stamp: stamp.parse().expect("the name of a timestamp format"), framing };
    let ready = responder.stamp.render_per_second(&LocalTime::EXAMPLE, "", Vec::new());
    let mut out = Vec::with_capacity(64 * 1024);
    for _ in 0..rounds {
        out.clear();
        let mut context = context(ready.as_deref());
        let input = black_box(input);
        let exact = responder.needs_exact_time(input);
        let consumed = responder.respond(input, Input::More, &mut context, &mut out, |_| {});
        assert_eq!(consumed, input.len());
        black_box((&out, exact));
    }
}

/// Returns the context of a message, with the timestamp of the second.
fn context(stamp: Option<&[u8]>) -> StampContext<'_> {
    StampContext { stamp: black_box(stamp), ..StampContext::anonymous(black_box(&LocalTime::EXAMPLE)) }
}

fn placeholder(len: usize) -> Vec<u8> {
    let mut message = TIMESTAMP_PLACEHOLDER.to_vec();
    message.resize(len, b'x');
    message
}

fn lines() -> Vec<u8> {
    let mut line = vec![b'x'; 63];
    line.push(b'\n');
    line.repeat(16)
}

/// Filters datagrams and replies to them.
fn datagrams(rounds: u64) {
    let stamp = "ctime".parse().expect("the name of a timestamp format");
    let filter = DatagramFilter::new(&stamp, PlainEcho::Local);
    let meter = ReplyMeter::new(ReplyLimits::default(), RandomState::new());
    let now = MonoTime::from_origin(std::time::Duration::ZERO);
    let responder = Responder { stamp, framing: Framing::Message };
    let ready = responder.stamp.render_per_second(&LocalTime::EXAMPLE, "", Vec::new());
    let mut head = Vec::new();
    for _ in 0..rounds {
        let mut message = black_box([b'x'; 64]);
        let datagram =
            Datagram { bytes: &message, sender: Sender::Remote, to_group: false, truncated: false };
        assert_eq!(filter.check(&datagram), Ok(()));
        let mut context = context(ready.as_deref());
        responder.prefix_of_datagram(&message, &mut context, &mut head);
        let form = ReplyForm::Stamped { excess: head.len() };
        assert_eq!(meter.admit(black_box(Source::Trusted), form, now), Ok(()));
        Responder::fill_placeholder(&mut message, &context);
        black_box((&message, &head));
    }
}

/// Reads the replies to messages that were sent.
fn read(rounds: u64) {
    let message = [b'x'; 64];
    let reply = [&b"[Sun Nov 22 12:19:36 2026] "[..], &message].concat();
    let mut reader = EchoReader::new();
    for _ in 0..rounds {
        reader.sent(black_box(&message));
        let mut ends = 0;
        reader.receive(black_box(&reply), |echo| ends += echo.end).expect("it is an echo");
        assert_eq!(ends, reply.len());
    }
}
