use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use echosounder_client::{
    ClockRelation, ConnectProbe, Order, PingControl, PingOptions, Pinger, Probe, ProbePace, TargetEvent,
};
use echosounder_socket::{Endpoint, StopToken, Transport};

use super::*;

/// Starts a peer that echoes `requests` messages, with timestamps or without, and drops one in
/// `every`.
fn peer(timestamps: bool, every: u64, requests: u64) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        for number in 1..=requests {
            let Ok((len, from)) = peer.recv_from(&mut buffer) else { return };
            if number.is_multiple_of(every) {
                continue;
            }
            if timestamps {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
                buffer[..42].copy_from_slice(format!("[{now:019} {now:019}] ").as_bytes());
            }
            let _ = peer.send_to(&buffer[..len], from);
        }
    });
    socket
}

/// Measures a peer that drops one in `every` requests, and returns the report.
fn report(timestamps: bool, every: u64, count: u64, clock: Option<ClockRelation>) -> PingReport {
    let socket = peer(timestamps, every, count);
    let endpoint = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
    let wait = Duration::from_millis(if every <= count { 50 } else { 2000 });
    let mut options = PingOptions::new(endpoint);
    options.connect.wait = wait;
    options.pace = ProbePace::from_interval(Duration::from_micros(if count < 10_000 { 200 } else { 0 }));
    options.count = Some(count);
    options.clock = clock;
    measured(options)
}

/// Measures a target and returns the report.
fn measured(options: PingOptions) -> PingReport {
    let control = Arc::new(PingControl::new(StopToken::new().unwrap()).unwrap());
    let mut result = None;
    Pinger::new(vec![options], Order::AtOnce, control).unwrap().run(|_, event| {
        if let TargetEvent::Ended { report, error } = event {
            assert!(error.is_none(), "{error:?}");
            result = report;
        }
        true
    });
    *result.unwrap()
}

fn target(report: &PingReport) -> Measured<'_> {
    Measured { endpoint: "udp://127.0.0.1:7", target: None, report: Some(report), error: None, missed: &[] }
}

fn written(targets: &[Measured<'_>]) -> String {
    let mut out = Vec::new();
    page(&mut out, "sounder ping <&\u{1b}[31m", &TimeZone::UTC, targets, &[]).unwrap();
    String::from_utf8(out).unwrap()
}

fn parse(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(page, options).unwrap()
}

fn all<'a>(document: &'a roxmltree::Document<'_>, tag: &str) -> Vec<roxmltree::Node<'a, 'a>> {
    document.descendants().filter(|node| node.tag_name().name() == tag).collect()
}

#[test]
fn page_is_well_formed_and_complete() {
    let report = report(true, 10, 1000, None);
    let page = written(&[target(&report)]);
    let document = parse(&page);
    assert_eq!(all(&document, "title")[0].text(), Some("sounder ping <&\\x1b[31m"));
    assert_eq!(all(&document, "figure").len(), 3);
    assert!(page.contains(" TIMEOUT)"), "{page}");
    let rows: Vec<_> = all(&document, "th").iter().filter_map(|th| th.text()).map(str::to_owned).collect();
    assert!(
        ["rtt", "up", "down", "server", "p99"].iter().all(|name| rows.iter().any(|row| row == name)),
        "{rows:?}"
    );
    let ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    for name in document.descendants().filter_map(|node| node.attribute("aria-labelledby")) {
        assert!(name.split(' ').all(|id| ids.iter().filter(|other| **other == id).count() == 1), "{name}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number is not finite");
}

#[test]
fn page_loads_nothing_and_escapes_untrusted_text() {
    let endpoint = "unix:/tmp/</script><script>alert(1)</script>\"'&\u{202e}";
    let missed = [endpoint.to_owned()];
    let target = || Measured { endpoint, target: None, report: None, error: Some(endpoint), missed: &missed };
    let targets = [target(), target()];
    let page = written(&targets);
    let document = parse(&page);
    assert_eq!(all(&document, "script").len(), 1);
    assert!(!page.contains('\u{202e}') && !page.contains("src=") && !page.contains("url("));
    let links = document.descendants().filter_map(|node| node.attribute("href"));
    assert!(links.into_iter().all(|link| link.starts_with('#')));
}

#[test]
fn every_kind_of_report_makes_a_page() {
    let [none, one, plain, free] = [
        report(true, 1, 3, None),
        report(true, 2, 1, None),
        report(false, 1000, 10, None),
        report(true, 1000, 120, Some(ClockRelation::Free)),
    ];
    for (report, figures) in [(&none, 0), (&one, 3), (&plain, 3), (&free, 3)] {
        let page = written(&[target(report)]);
        let document = parse(&page);
        assert_eq!(all(&document, "figure").len(), figures);
        // Each figure has a layer for each scale, and shows one of them without the script.
        for scale in ["linear", "log"] {
            let layers = all(&document, "g");
            let layers = layers.iter().filter(|layer| layer.attribute("class") == Some(scale));
            assert_eq!(layers.count(), figures);
        }
        let scales = all(&document, "figure").into_iter().map(|figure| figure.attribute("data-scale"));
        assert!(scales.into_iter().all(|scale| matches!(scale, Some("linear" | "log"))));
        assert!(!page.contains("NaN") && !page.contains("inf"), "a number is not finite");
    }
    let page = written(&[target(&none), target(&plain)]);
    assert_eq!(all(&parse(&page), "section").len(), 2);
}

/// Measures how long connections take to a TCP port that nothing listens on.
fn refused(count: u64) -> PingReport {
    // The port is taken, but its socket does not listen.
    let name = (Ipv4Addr::LOCALHOST, 0).into();
    let closed = Transport::Tcp.socket(&name).unwrap();
    closed.bind(&name).unwrap();
    let endpoint = Endpoint::at(Transport::Tcp, &closed.local_addr().unwrap()).unwrap();
    let mut options = PingOptions::new(endpoint);
    options = options.with_probe(Probe::Connect(ConnectProbe::default()));
    options.pace = ProbePace::from_interval(Duration::from_micros(200));
    options.count = Some(count);
    measured(options)
}

#[test]
fn refused_requests_have_marks_and_a_column() {
    let [refused, plain] = [refused(3), report(true, 1000, 10, None)];
    let refusals = refused.refused_after.count();
    assert_eq!((refusals, refused.lost.refused), (3, 3));
    let page = written(&[target(&refused), target(&plain)]);
    let document = parse(&page);
    let columns = all(&document, "th").iter().filter(|th| th.text() == Some("refused")).count();
    // One in the comparison, and a row of the delays.
    assert_eq!(columns, 2, "{page}");
    let marks: Vec<_> = all(&document, "path")
        .into_iter()
        .filter(|path| path.attribute("class") == Some("dots squares refused"))
        .filter_map(|path| path.attribute("d"))
        .map(|path| path.matches("h0").count())
        .collect();
    // On both scales.
    assert_eq!(marks, [3, 3], "{page}");
    assert!(page.contains(": refused after "), "{page}");
    assert_eq!(all(&document, "figure").len(), 4);
    assert!(!written(&[target(&plain), target(&plain)]).contains(">refused<"));
}

#[test]
fn size_of_a_page_is_bounded() {
    let report = report(true, u64::MAX, 20_000, None);
    let page = written(&[target(&report)]);
    assert!(page.len() < 400_000, "{}", page.len());
    parse(&page);
}

#[test]
fn time_axis_shows_the_time_of_day() {
    let report = report(true, u64::MAX, 120, None);
    let target = Target { started: 1_795_810_829_000_000_000, count: Some(120), ..Target::example("echo") };
    let measured = Measured { target: Some(&target), ..self::target(&report) };
    let zone = jiff::tz::offset(1).to_time_zone();
    let mut out = Vec::new();
    page(&mut out, "sounder ping", &zone, &[measured], &[]).unwrap();
    let page = String::from_utf8(out).unwrap();
    // 20:20:29 UTC. The run takes tens of milliseconds.
    assert!(page.contains("UTC+01:00") && page.contains(">21:20:29."), "{page}");
}
