//! The signals of a command.
//!
//! A command calls [`receive`] before it starts its first thread, and [`stop_on_signal`] as soon as
//! it can stop. From then on SIGINT, SIGTERM, SIGHUP, SIGUSR2 and SIGALRM stop its [`StopToken`],
//! SIGUSR1 or SIGQUIT request a report, and a second signal of the first kind ends the process at
//! once.

use std::os::fd::AsFd;
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_socket::{Interest, Signal, Signals, StopToken, ready};

use super::console;
use crate::failure::ThreadError;

/// How long after the first signal further ones count as the same request: timeout(1) sends two,
/// and so do a closing terminal and the shell on it.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// How long to pause after a failed wait for signals.
const PAUSE: Duration = Duration::from_millis(250);

/// The signal that stopped a command, once there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstSignal(Arc<OnceLock<Signal>>);

impl FirstSignal {
    /// Returns whether Ctrl-C stopped the command; the terminal has then printed `^C`.
    pub(super) fn is_interrupt(&self) -> bool {
        self.0.get() == Some(&Signal::Interrupt)
    }
}

/// Blocks the signals that stop a command, and `reports`, so that [`stop_on_signal`] can receive
/// them.
///
/// Threads inherit the blocked signals, so call this before the first thread starts.
pub(super) fn receive(reports: &[Signal]) -> Result<Signals> {
    let mut signals = vec![Signal::Interrupt, Signal::Terminate];
    // nohup(1) ignores SIGHUP so that a command outlives its terminal. SIGUSR2 and SIGALRM end a
    // process that does not handle them: signal(7). Here they end it in order.
    let unless_ignored = [Signal::Hangup, Signal::User2, Signal::Alarm];
    signals.extend(unless_ignored.into_iter().filter(|signal| !signal.is_ignored().unwrap_or(false)));
    signals.extend_from_slice(reports);
    Signals::receive(&signals).context("cannot receive signals")
}

/// Starts a thread that stops the token at the first signal which ends a command, and calls
/// `report` at every signal that requests a report.
///
/// At a second signal which ends a command, the thread calls `clean_up` and lets the signal kill
/// the process.
pub(super) fn stop_on_signal(
    signals: Signals,
    stop: StopToken,
    report: impl Fn() + Send + 'static,
    clean_up: impl FnOnce() + Send + 'static,
) -> Result<FirstSignal> {
    let first = FirstSignal::default();
    let received = first.clone();
    let watch = move || {
        received.0.get_or_init(|| next_end(&signals, &report));
        // Before the token stops: a thread that waits for a stuck reader of the output cannot stop.
        console::stop_requested();
        stop.stop();
        discard_repeated(&signals);
        let second = next_end(&signals, &report);
        clean_up();
        die_of(second, signals);
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map_err(ThreadError::of("a thread"))?;
    Ok(first)
}

/// Lets a signal kill the process. If the process ignores it, SIGTERM does, and otherwise SIGABRT,
/// which cannot be ignored here.
fn die_of(signal: Signal, signals: Signals) {
    // From here on this thread does not block the signals.
    drop(signals);
    for signal in [signal, Signal::Terminate] {
        // kill(2) returns after the signal has taken effect, so only if it had none.
        let _ = signal.send(process::id());
    }
    process::abort();
}

/// Waits for a signal that ends a command, and calls `report` at every other signal.
fn next_end(signals: &Signals, report: &dyn Fn()) -> Signal {
    loop {
        match next(signals) {
            Signal::User1 | Signal::Quit => report(),
            signal => return signal,
        }
    }
}

/// Discards the signals that belong to the same request as the last one.
fn discard_repeated(signals: &Signals) {
    thread::park_timeout(SAME_REQUEST);
    while matches!(signals.next(), Ok(Some(_))) {}
}

/// Waits for the next signal.
fn next(signals: &Signals) -> Signal {
    loop {
        let waited = ready([(signals.as_fd(), Interest::READ)], None);
        match signals.next() {
            Ok(Some(signal)) => return signal,
            Ok(None) if waited.is_ok() => {}
            _ => thread::park_timeout(PAUSE),
        }
    }
}
