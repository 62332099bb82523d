use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use echosounder_client::{
    ClockRelation, ConnectOptions, IpOptions, Order, Ping, PingControl, Pinger, ProbePace, TargetEvent,
    TimestampSource,
};
use echosounder_socket::{IpVersion, StopToken};

use super::*;

/// A peer on this machine that echoes each message but every so many-th, with the time or without.
fn peer(stamps: bool, every: u64, calls: u64) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        for number in 1..=calls {
            let Ok((len, from)) = peer.recv_from(&mut buffer) else { return };
            if number.is_multiple_of(every) {
                continue;
            }
            if stamps {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
                buffer[..42].copy_from_slice(format!("[{now:019} {now:019}] ").as_bytes());
            }
            let _ = peer.send_to(&buffer[..len], from);
        }
    });
    socket
}

/// What comes of calling a peer that drops one of so many.
fn report(stamps: bool, every: u64, count: u64, clock: Option<ClockRelation>) -> PingReport {
    let socket = peer(stamps, every, count);
    let endpoint = format!("udp://{}", socket.local_addr().unwrap()).parse().unwrap();
    let wait = Duration::from_millis(if every <= count { 50 } else { 2000 });
    let connect = ConnectOptions {
        endpoint,
        ip_version: IpVersion::Any,
        source: None,
        ip_options: IpOptions::default(),
        wait,
    };
    let pace = ProbePace::from_interval(Duration::from_micros(if count < 10_000 { 200 } else { 0 }));
    let ping = Ping {
        connect,
        size_bytes: 64,
        start_delay: Duration::ZERO,
        pace,
        count: Some(count),
        deadline: None,
        clock,
        timestamps: TimestampSource::Kernel,
    };
    let control = Arc::new(PingControl::new(StopToken::new().unwrap()).unwrap());
    let mut result = None;
    Pinger::new(vec![ping], Order::AtOnce, control).unwrap().run(|_, event| {
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
    page(&mut out, "sounder ping <&\u{1b}[31m", &TimeZone::UTC, targets).unwrap();
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
fn a_page_is_well_formed_and_says_what_there_is() {
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
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number is none");
}

#[test]
fn a_page_loads_nothing_and_nothing_on_it_acts() {
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
fn whatever_was_measured_makes_a_page() {
    let [none, one, plain, free] = [
        report(true, 1, 3, None),
        report(true, 2, 1, None),
        report(false, 1000, 10, None),
        report(true, 1000, 120, Some(ClockRelation::Free)),
    ];
    for (report, figures) in [(&none, 0), (&one, 3), (&plain, 3), (&free, 3)] {
        let page = written(&[target(report)]);
        assert_eq!(all(&parse(&page), "figure").len(), figures);
        assert!(!page.contains("NaN") && !page.contains("inf"), "a number is none");
    }
    let page = written(&[target(&none), target(&plain)]);
    assert_eq!(all(&parse(&page), "section").len(), 2);
}

#[test]
fn many_calls_make_no_long_page() {
    let report = report(true, u64::MAX, 20_000, None);
    let page = written(&[target(&report)]);
    assert!(page.len() < 400_000, "{}", page.len());
    parse(&page);
}
