//! The turns of a connection, operation by operation.

use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_proto::{FRAME_MAX, Framing, MonoTime, Responder, Template, WallTime};

use super::*;
use crate::backlog::BACKLOG_MAX;
use crate::service::EchoService;

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Moment {
        Moment { wall: WallTime::from_nanos(1), mono: MonoTime::from_origin(Duration::ZERO) }
    }
}

fn context(framing: Framing) -> TurnContext<StoppedClock, ()> {
    context_with(Responder { stamp: Template::none(), framing }, BACKLOG_MAX)
}

fn context_with(responder: Responder, backlog_max: usize) -> TurnContext<StoppedClock, ()> {
    TurnContext::new(EchoService::new(responder, "host".into(), StoppedClock, ()), backlog_max).unwrap()
}

fn connection() -> Connection {
    Connection::new(Address::Unspecified, None, Transport::Tcp)
}

fn line(max: usize) -> Framing {
    Framing::Line(NonZeroUsize::new(max).unwrap())
}

/// Receives `bytes` in one turn, sends the reply, and returns the operation that ends the turn.
fn turn(connection: &mut Connection, bytes: &[u8], context: &mut TurnContext<StoppedClock, ()>) -> Operation {
    let ready = Readiness::READABLE | Readiness::WRITABLE;
    let Operation::Recv { offset, .. } = connection.on_ready(ready, context) else {
        panic!("the connection does not receive")
    };
    context.input_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    match connection.complete(Completion::Received(bytes.len()), context) {
        Operation::Send => {
            let len = connection.output(context).len();
            connection.complete(Completion::Sent(len), context)
        }
        other => other,
    }
}

#[test]
fn a_line_that_arrives_byte_by_byte_takes_linear_work_and_few_allocations() {
    const LEN: usize = 60_000;
    let mut context = context(line(FRAME_MAX));
    let mut connection = Connection::new(Address::Unspecified, None, Transport::Tcp);
    let (mut examined_bytes, mut buffers) = (0, Vec::new());
    for position in 0..LEN {
        context.exchange.input_len = 0;
        let byte = if position + 1 == LEN { b'\n' } else { b'x' };
        assert_eq!(turn(&mut connection, &[byte], &mut context), Operation::Wait(Interest::READ));
        // The input of a reply is scanned and copied whole.
        examined_bytes += context.exchange.input_len;
        if let Some(backlog) = &connection.backlog {
            buffers.push((std::ptr::from_ref(&**backlog), backlog.unprocessed().as_ptr()));
        }
    }
    assert_eq!((connection.messages(), connection.output(&context).len()), (1, LEN));
    assert!(examined_bytes < 2 * LEN, "{examined_bytes} bytes were examined");
    buffers.dedup();
    assert!(buffers.len() <= 20, "the buffer was allocated {} times", buffers.len());
}

#[test]
fn lines_in_two_parts_use_one_buffer() {
    let mut context = context(line(FRAME_MAX));
    let mut connection = Connection::new(Address::Unspecified, None, Transport::Tcp);
    let mut buffers = Vec::new();
    for _ in 0..100 {
        turn(&mut connection, b"the first half", &mut context);
        let backlog = connection.backlog.as_ref().expect("the line has no end yet");
        buffers.push((std::ptr::from_ref(&**backlog), backlog.unprocessed().as_ptr()));
        turn(&mut connection, b" and the second\n", &mut context);
        assert!(connection.backlog.is_none());
    }
    buffers.dedup();
    assert_eq!((connection.messages(), buffers.len()), (100, 1));
}

/// Receives 64 KiB whose replies are 1,728 bytes longer, and sends nothing.
fn stall(connection: &mut Connection, context: &mut TurnContext<StoppedClock, ()>) {
    assert!(matches!(connection.on_ready(Readiness::READABLE, context), Operation::Recv { .. }));
    context.input_mut()[..PROGRESS_MIN].fill(b'x');
    assert_eq!(connection.complete(Completion::Received(PROGRESS_MIN), context), Operation::Send);
    assert_eq!(connection.complete(Completion::Sent(0), context), Operation::Wait(Interest::WRITE));
}

#[test]
fn the_stall_timeout_starts_again_when_the_client_has_received_64_kib() {
    let responder = Responder { stamp: Template::ctime(), framing: Framing::default() };
    let (mut context, mut connection) = (context_with(responder, BACKLOG_MAX), connection());
    stall(&mut connection, &mut context);
    let mark = connection.timer_mark();
    assert_eq!(connection.wait_state(), WaitState::Stalled);
    for (sent, restarts) in [(PROGRESS_MIN - 64, false), (64, true), (64, false)] {
        assert_eq!(connection.on_ready(Readiness::WRITABLE, &mut context), Operation::Send);
        connection.complete(Completion::Sent(sent), &mut context);
        assert_eq!(connection.restarts_timer(mark), restarts, "{sent}");
    }
}

#[test]
fn a_turn_does_nothing_before_the_event_that_the_connection_waits_for() {
    let (mut context, mut connection) = (context(Framing::default()), connection());
    let waits = Operation::Wait(Interest::READ);
    assert_eq!(connection.on_ready(Readiness::WRITABLE, &mut context), waits);
    stall(&mut connection, &mut context);
    let waits = Operation::Wait(Interest::WRITE);
    assert_eq!(connection.on_ready(Readiness::READABLE, &mut context), waits);
}

/// Receives these bytes, and takes turns until the connection waits for more.
fn receive_and_reply(connection: &mut Connection, context: &mut TurnContext<StoppedClock, ()>, bytes: &[u8]) {
    let mut operation = connection.on_ready(Readiness::READABLE, context);
    loop {
        let completion = match operation {
            Operation::CheckWritable => Completion::Writable(true),
            Operation::Recv { offset, .. } => {
                context.input_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
                Completion::Received(bytes.len())
            }
            Operation::Send => Completion::Sent(connection.output(context).len()),
            Operation::Wait(Interest::WRITE) => {
                operation = connection.on_ready(Readiness::WRITABLE, context);
                continue;
            }
            _ => break,
        };
        operation = connection.complete(completion, context);
    }
    assert_eq!(operation, Operation::Wait(Interest::READ));
}

#[test]
fn an_unfinished_line_waits_unless_there_is_no_memory_for_it() {
    let input = ["\n".repeat(100), "unfinished".repeat(90)].concat();
    for (backlog_max, replies) in [(BACKLOG_MAX, 100), (0, 101)] {
        let responder = Responder { stamp: Template::ctime(), framing: line(FRAME_MAX) };
        let (mut context, mut connection) = (context_with(responder, backlog_max), connection());
        receive_and_reply(&mut connection, &mut context, input.as_bytes());
        assert_eq!(connection.messages(), replies, "{backlog_max}");
    }
}

#[test]
fn the_end_of_a_client_is_that_of_both_directions_without_half_closes() {
    let transport = Transport::Sctp;
    assert!(!transport.half_closes());
    let mut context = context(line(FRAME_MAX));
    let mut connection = Connection::new(Address::Unspecified, None, transport);
    receive_and_reply(&mut connection, &mut context, b"unfinished");
    connection.on_ready(Readiness::READABLE, &mut context);
    assert_eq!(connection.complete(Completion::End, &mut context), Operation::Close);
    assert_eq!(connection.messages(), 0, "nobody would receive the reply");
    connection.release(&mut context);
    let mut connection = Connection::new(Address::Unspecified, None, transport);
    connection.finish();
    let shuts_down = Operation::Shutdown(Shutdown::Both);
    assert_eq!(connection.on_ready(Readiness::WRITABLE, &mut context), shuts_down);
}

#[test]
fn a_connection_whose_client_has_finished_is_shut_down_and_closed() {
    let (mut context, mut connection) = (context(Framing::default()), connection());
    connection.on_ready(Readiness::READABLE, &mut context);
    let shuts_down = Operation::Shutdown(Shutdown::Write);
    assert_eq!(connection.complete(Completion::End, &mut context), shuts_down);
    assert_eq!(connection.complete(Completion::ShutDown, &mut context), Operation::Close);
}

#[test]
fn a_finished_connection_discards_input_without_memory_for_it() {
    let responder = Responder { stamp: Template::none(), framing: Framing::default() };
    let (mut context, mut connection) = (context_with(responder, 0), connection());
    connection.finish();
    assert_eq!(connection.wait_state(), WaitState::Ending);
    let shuts_down = Operation::Shutdown(Shutdown::Write);
    assert_eq!(connection.on_ready(Readiness::WRITABLE, &mut context), shuts_down);
    let waits = Operation::Wait(Interest::READ);
    assert_eq!(connection.complete(Completion::ShutDown, &mut context), waits);
    assert_eq!(connection.wait_state(), WaitState::Ending);
    for (completion, next) in [(Completion::Received(5), waits), (Completion::End, Operation::Close)] {
        let operation = connection.on_ready(Readiness::READABLE, &mut context);
        assert!(matches!(operation, Operation::Recv { offset: 0, .. }), "{operation:?}");
        assert_eq!(connection.complete(completion, &mut context), next);
    }
    assert_eq!(connection.messages(), 0);
}

#[test]
fn frames_end_at_the_bounds_of_the_framing() {
    for max in [1, 2, 5, 100] {
        for (unfinished, new) in [(0, "x"), (0, "x\ny"), (1, "\n"), (3, "xx"), (4, "x"), (99, "x")] {
            let whole = ["u".repeat(unfinished).as_bytes(), new.as_bytes()].concat();
            let framing = line(max);
            if framing.frame_len(&whole[..unfinished], Input::More).is_none() {
                let ends = framing.frame_len(&whole, Input::More).is_some();
                assert_eq!(framing.completes(unfinished, new.as_bytes()), ends, "{max} {whole:?}");
            }
        }
    }
}
