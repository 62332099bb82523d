//! The builders and the single question, as another program uses them.

use std::error::Error;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use echosounder_client::{
    ClientError, FailureKind, Load, LoadError, LoadOptions, LossReason, MESSAGE_BYTES_MAX, Pace, Peer, Ping,
    PingEvent, REQUEST_BYTES_MAX, REQUEST_BYTES_MIN, STREAM_REQUEST_BYTES_MIN, SizeRange, StopToken,
    TalkError, TargetResult, echo, load,
};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{ServerOptions, Transport, create_server};
use echosounder_testkit::{PATIENCE, closed_port};

/// Returns the time as a timestamp before a message.
fn stamp() -> String {
    let now = UNIX_EPOCH.elapsed().unwrap();
    format!("[{}.{:09}] ", now.as_secs(), now.subsec_nanos())
}

/// Starts a UDP server that puts a timestamp before each message, and never replies to some of
/// them. Returns its endpoint.
fn udp_server(drops: impl Fn(usize) -> bool + Send + 'static) -> String {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", server.local_addr().unwrap());
    thread::spawn(move || {
        let mut message = [0; 2048];
        for number in 0.. {
            let (len, client) = server.recv_from(&mut message).unwrap();
            if !drops(number) {
                server.send_to(&[stamp().as_bytes(), &message[..len]].concat(), client).unwrap();
            }
        }
    });
    endpoint
}

/// Returns a target that nothing listens at.
fn nothing(scheme: &str) -> String {
    format!("{scheme}://127.0.0.1:{}", closed_port())
}

#[test]
fn a_ping_counts_replies_and_losses() {
    let endpoint = udp_server(|number| number % 4 == 3);
    let ping = Ping::to(&endpoint).count(8).interval(Duration::from_millis(1));
    let mut lost = Vec::new();
    let report = ping.timeout(Duration::from_secs(2)).run_with(|event| {
        if let PingEvent::Lost { reason, .. } = event {
            lost.push(*reason);
        }
    });
    let report = report.unwrap();
    assert_eq!((report.sent(), report.answered, report.lost.timeout), (8, 6, 2));
    assert!((report.loss_percent() - 25.0).abs() < 1e-9);
    assert_eq!(lost, [LossReason::Peer(FailureKind::Timeout); 2]);
    let (min, mean, max) = (report.min().unwrap(), report.mean().unwrap(), report.max().unwrap());
    assert!(!min.is_zero() && min <= mean && mean <= max);
    assert!(report.percentile(50.0).is_some() && report.percentile(99.0).is_none());
    assert_eq!((report.up.delay.count(), report.down.delay.count()), (6, 6));
}

#[test]
fn a_ping_without_a_count_ends_by_itself() {
    let report = Ping::to(udp_server(|_| false)).interval(Duration::ZERO).run().unwrap();
    assert_eq!(report.answered, 10);
}

#[test]
fn a_ping_of_a_closed_port_is_a_report_unless_it_is_single() {
    let ping = || Ping::to(nothing("udp")).interval(Duration::from_millis(1));
    let report = ping().count(3).run().unwrap();
    assert_eq!((report.answered, report.lost.refused), (0, 3));
    assert_eq!(report.percentile(50.0), None);
    let error = Ping::to(nothing("tcp")).count(1).run().unwrap_err();
    assert_eq!(error.failure_kind(), Some(FailureKind::Refused));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn what_is_no_endpoint_is_an_error_of_the_run() {
    let errors = [
        Ping::to("udp:/host").run().unwrap_err(),
        echo("udp:/host", b"x").unwrap_err(),
        match Load::to("udp:/host").run().unwrap_err() {
            LoadError::Connect(error) => error,
            error => panic!("{error}"),
        },
    ];
    for error in errors {
        assert!(matches!(error, ClientError::Target(_)), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_size_below_the_minimum_is_an_error() {
    for (endpoint, min) in
        [("udp://127.0.0.1", REQUEST_BYTES_MIN), ("tcp://127.0.0.1", STREAM_REQUEST_BYTES_MIN)]
    {
        let error = Ping::to(endpoint).size(min - 1).run().unwrap_err();
        assert!(matches!(&error, ClientError::Options(text) if text.contains(&min.to_string())), "{error}");
    }
    let report = Ping::to(udp_server(|_| false)).size(REQUEST_BYTES_MIN).count(1).run().unwrap();
    assert_eq!(report.answered, 1);
}

#[test]
fn a_size_above_the_maximum_is_an_error() {
    for endpoint in ["udp://127.0.0.1", "tcp://127.0.0.1", "unix:/nothing"] {
        for size in [REQUEST_BYTES_MAX + 1, 1 << 40, usize::MAX] {
            let error = Ping::to(endpoint).size(size).run().unwrap_err();
            let max = REQUEST_BYTES_MAX.to_string();
            assert!(matches!(&error, ClientError::Options(text) if text.contains(&max)), "{error}");
        }
    }
}

#[test]
fn a_ping_without_time_for_replies_is_refused() {
    for endpoint in ["udp://127.0.0.1:9", "tcp://127.0.0.1:9"] {
        let ping = Ping::to(endpoint).timeout(Duration::ZERO).interval(Duration::ZERO);
        let error = soon(move || ping.run()).unwrap_err();
        assert!(matches!(error, ClientError::Options(_)), "{error}");
    }
}

/// Returns the result of a function that must end soon, in a thread of its own.
fn soon<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = mpsc::channel();
    thread::spawn(move || drop(sender.send(run())));
    result.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_ping_with_times_without_end_ends_with_its_count() {
    let endpoint = udp_server(|_| false);
    let report = soon(move || {
        let ping = Ping::to(&endpoint).count(2).interval(Duration::ZERO).size(1000);
        ping.deadline(Duration::MAX).timeout(Duration::MAX).run()
    });
    assert_eq!(report.unwrap().answered, 2);
    let (endpoint, other) = (udp_server(|_| false), udp_server(|_| false));
    let stop = StopToken::new().unwrap();
    let results = soon(move || {
        let ping = Ping::to(endpoint).and_to(other).count(u64::MAX).interval(Duration::MAX);
        ping.timeout(Duration::MAX).stop(stop.clone()).run_each_with(|_, _| stop.stop())
    });
    assert_eq!(results.unwrap().iter().filter_map(|result| result.report.as_ref()).count(), 2);
}

#[test]
fn a_load_without_reason_is_refused() {
    let refused = |load: fn(Load) -> Load| {
        for endpoint in ["udp://127.0.0.1:9", "tcp://127.0.0.1:9"] {
            let load = load(Load::to(endpoint));
            let error = soon(move || load.run()).unwrap_err();
            assert!(matches!(error, LoadError::Options(_)), "{error}");
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
        }
    };
    refused(|load| load.timeout(Duration::ZERO));
    refused(|load| load.size(0));
    refused(|load| load.size(MESSAGE_BYTES_MAX + 1));
    refused(|load| load.size(usize::MAX));
    refused(|load| load.size(usize::MAX).rate(1.0));
    refused(|load| load.sizes(SizeRange { min: 100, max: 99 }));
    refused(|load| load.sizes(SizeRange { min: 64, max: usize::MAX }));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX] {
        let error = soon(move || Load::to("udp://127.0.0.1:9").rate(rate).run()).unwrap_err();
        assert!(matches!(error, LoadError::Options(_)), "{rate}: {error}");
    }
    for load in [
        Load::to("tcp://127.0.0.1:9").connections(usize::MAX),
        Load::to("tcp://127.0.0.1:9").depth(usize::MAX),
        Load::to("tcp://127.0.0.1:9").connections(usize::MAX).depth(usize::MAX),
    ] {
        let error = soon(move || load.run()).unwrap_err();
        assert!(matches!(error, LoadError::TooMuchInFlight { .. }), "{error}");
    }
    let mut options = LoadOptions::new("tcp://127.0.0.1:9".parse().unwrap(), StopToken::new().unwrap());
    options.pace = Pace::Closed { depth: 0 };
    let error = load(&options, |_| ()).unwrap_err();
    assert!(matches!(error, LoadError::Options(_)), "{error}");
}

#[test]
fn a_load_with_times_without_end_ends_with_its_messages() {
    for rate in [None, Some(1e9)] {
        let load = Load::to(udp_server(|_| false)).connections(2).messages(100);
        let load = load.duration(Duration::MAX).timeout(Duration::MAX).threads(usize::MAX);
        let load = if let Some(rate) = rate { load.rate(rate).allow_remote(true) } else { load };
        let report = soon(move || load.run()).unwrap();
        assert_eq!(report.counts.answered, 100, "{rate:?}");
    }
}

/// Returns an error and its sources, as a program prints them.
fn chain(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(" <= ")
}

#[test]
fn an_error_displays_its_operation_and_an_error_of_io_also_its_reason() {
    let endpoint = nothing("tcp");
    let connect = format!("cannot connect to {endpoint}");
    let refused = "Connection refused (os error 111)";
    let echo = |target: &str| echo(target, b"x").unwrap_err();
    assert_eq!(chain(&echo(&endpoint)), format!("{connect} <= {refused}"));
    assert_eq!(chain(&io::Error::from(echo(&endpoint))), format!("{connect}: {refused}"));
    assert_eq!(echo(&endpoint).failure_kind(), Some(FailureKind::Refused));
    let load = || Load::to(&endpoint).run().unwrap_err();
    assert_eq!(chain(&load()), format!("{connect} <= {refused}"));
    assert_eq!(chain(&io::Error::from(load())), format!("{connect}: {refused}"));
    let talk = TalkError::from(echo(&endpoint));
    assert_eq!(chain(&io::Error::from(talk)), format!("{connect}: {refused}"));

    let target = echo("");
    assert_eq!(target.to_string(), "cannot use the target");
    let reason = target.source().unwrap().to_string();
    assert_eq!(chain(&io::Error::from(echo(""))), format!("cannot use the target: {reason}"));

    let group = || echo("udp://255.255.255.255:9");
    assert_eq!(group().kind(), io::ErrorKind::InvalidInput);
    assert!(io::Error::from(group()).to_string().ends_with(": it is a multicast or broadcast address"));
}

#[test]
fn an_empty_question_is_refused_on_a_stream_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let error = echo(endpoint, b"").unwrap_err();
    assert!(matches!(error, ClientError::Options(_)), "{error}");
    assert!(echo(udp_server(|_| false), b"").unwrap().starts_with(b"["));

    let name = UnixName::abstract_name(format!("sounder-ask-{}", std::process::id()));
    let listener = create_server((Transport::UnixSeqpacket, &name), ServerOptions::default()).unwrap();
    let server = thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        let len = connection.recv(&mut [0; 8]).unwrap();
        connection.send(b"[Sun Nov 22 12:19:36 2026] ").unwrap();
        len
    });
    let reply = echo((Transport::UnixSeqpacket, &name), b"").unwrap();
    assert_eq!((reply.as_slice(), server.join().unwrap()), (&b"[Sun Nov 22 12:19:36 2026] "[..], 0));
}

#[test]
fn several_targets_have_their_own_results() {
    let ping = || {
        Ping::to(udp_server(|_| false))
            .and_to(udp_server(|_| true))
            .and_to("tcp://nothing.invalid")
            .count(2)
            .interval(Duration::from_millis(1))
            .timeout(Duration::from_secs(2))
    };
    assert!(matches!(ping().run().unwrap_err(), ClientError::Options(_)));
    let mut replies = [0; 3];
    let results = ping().run_each_with(|target, event| {
        replies[target] += usize::from(matches!(event, PingEvent::Replied(_)));
    });
    let results = results.unwrap();
    let answered =
        |result: &TargetResult| result.report.as_ref().map(|report| (report.answered, report.lost.total()));
    assert_eq!(results.iter().map(answered).collect::<Vec<_>>(), [Some((2, 0)), Some((0, 2)), None]);
    assert_eq!(replies, [2, 0, 0]);
    assert!(results[1].error.is_none() && results[2].error.is_some());
    assert_eq!(results[2].endpoint.to_string(), "tcp://nothing.invalid:21567");
}

#[test]
fn a_token_ends_a_ping_with_the_report_so_far() {
    let (stop, (sender, ended)) = (StopToken::new().unwrap(), mpsc::channel());
    let (endpoint, token) = (udp_server(|_| false), stop.clone());
    thread::spawn(move || {
        let ping = Ping::to(endpoint).count(u64::MAX).interval(Duration::from_millis(1)).stop(token);
        let _ = sender.send(ping.run_with(|event| {
            if matches!(event, PingEvent::Replied(reply) if reply.number == 3) {
                stop.stop();
            }
        }));
    });
    let report = ended.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(3 <= report.answered);
}

#[test]
fn a_ping_leaves_the_timer_slack_of_its_thread() {
    let slack = || {
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        let thread = std::path::Path::new("/proc").join(thread.file_name().unwrap());
        std::fs::read_to_string(thread.join("timerslack_ns")).unwrap()
    };
    let before = slack();
    Ping::to(udp_server(|_| false)).count(2).interval(Duration::from_millis(1)).run().unwrap();
    assert_eq!(slack(), before);
    let within = Ping::to(udp_server(|_| false)).count(1).run_with(|_| assert_eq!(slack().trim(), "1"));
    assert_eq!(within.unwrap().answered, 1);
}

#[test]
fn a_load_sends_what_was_asked_for() {
    let report = Load::to(udp_server(|_| false)).connections(3).depth(2).messages(300).size(100).run();
    let report = report.unwrap();
    assert_eq!((report.counts.sent, report.counts.answered), (300, 300));
    assert!(0.0 < report.rate() && report.percentile(50.0).is_some());
    let error = Load::to(nothing("tcp")).run().unwrap_err();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_peer_answers_questions_on_a_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        for question in [b"one".as_slice(), b"three"] {
            let mut message = vec![0; question.len()];
            io::Read::read_exact(&mut client, &mut message).unwrap();
            io::Write::write_all(
                &mut client,
                &[b"[Sun Nov 22 12:19:36 2026] ".as_slice(), &message].concat(),
            )
            .unwrap();
        }
    });
    let mut peer = Peer::connect(&endpoint).unwrap();
    assert_eq!(peer.ask(b"one").unwrap(), b"[Sun Nov 22 12:19:36 2026] one");
    assert_eq!(peer.ask(b"three").unwrap(), b"[Sun Nov 22 12:19:36 2026] three");
    server.join().unwrap();
    let error = peer.ask(b"too late").unwrap_err();
    assert_eq!(error.failure_kind(), Some(FailureKind::Closed), "{error}");
}

#[test]
fn a_question_to_nobody_fails() {
    let error = echo(nothing("udp"), b"hello").unwrap_err();
    assert_eq!(error.failure_kind(), Some(FailureKind::Refused));
}
