//! The signals that end a command.

use std::os::fd::AsFd;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_socket::{Interest, Signal, Signals, ready};

use super::console;

/// How long after the first signal another is taken for the same: timeout(1) sends two, and so may a terminal that
/// closes and the shell on it.
const WITH_THE_FIRST: Duration = Duration::from_millis(100);

/// How often signals are looked for where they cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Receives the signals that end a command, and `others`, instead of dying of them. To be called before the first
/// thread is started, since threads inherit what is blocked.
pub(super) fn receive(others: &[Signal]) -> Result<Signals> {
    let mut signals = vec![Signal::Interrupt, Signal::Terminate];
    // nohup(1) wants a command to outlive its terminal.
    if !Signal::Hangup.is_ignored().unwrap_or(false) {
        signals.push(Signal::Hangup);
    }
    signals.extend_from_slice(others);
    Signals::receive(&signals).context("cannot receive signals")
}

/// Returns whether a signal asks a command to end.
pub(super) fn ends(signal: Signal) -> bool {
    matches!(signal, Signal::Interrupt | Signal::Terminate | Signal::Hangup)
}

/// Starts a thread that calls `stop` at the first signal that ends a command. At the second it calls `clean_up` and
/// exits. Meanwhile it calls `report` at every other signal.
pub(super) fn watch(
    signals: Signals,
    report: impl Fn() + Send + 'static,
    stop: impl FnOnce() + Send + 'static,
    clean_up: impl FnOnce() + Send + 'static,
) -> Result<()> {
    let watch = move || {
        wait_for_end(&signals, &report);
        // Before it is stopped: whoever writes to a reader that is stuck cannot stop.
        console::stopped();
        stop();
        pass_double(&signals);
        wait_for_end(&signals, &report);
        clean_up();
        process::exit(1);
    };
    thread::Builder::new().name("signals".into()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}

/// Starts a thread that lets the next signal which ends a command kill the program, unless it comes along with the
/// first.
pub(super) fn die_of_the_next(signals: Signals) -> Result<()> {
    let die = move || {
        pass_double(&signals);
        let last = wait_for_end(&signals, &|| {});
        // From here on this thread does not block it any more.
        drop(signals);
        // Whoever may not send signals to itself ends another way.
        let _ = last.send(process::id());
        process::exit(1);
    };
    thread::Builder::new().name("signals".into()).spawn(die).context("cannot start a thread")?;
    Ok(())
}

/// Waits for a signal that ends a command, and calls `report` at every other.
fn wait_for_end(signals: &Signals, report: &dyn Fn()) -> Signal {
    loop {
        match wait(signals) {
            signal if ends(signal) => return signal,
            _ => report(),
        }
    }
}

/// Forgets the signals that come along with one that has come.
fn pass_double(signals: &Signals) {
    thread::park_timeout(WITH_THE_FIRST);
    while matches!(signals.next(), Ok(Some(_))) {}
}

/// Waits for the next signal.
fn wait(signals: &Signals) -> Signal {
    loop {
        let waited = ready([(signals.as_fd(), Interest::Read)], None);
        match signals.next() {
            Ok(Some(signal)) => return signal,
            Ok(None) if waited.is_ok() => {}
            _ => thread::park_timeout(LOOK_EVERY),
        }
    }
}
