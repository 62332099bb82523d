//! The examples, run as a program would use the crate.

use std::net::UdpSocket;
use std::thread;

use echosounder_client::FailureKind;

#[path = "../../examples/probe.rs"]
#[expect(dead_code, reason = "the test calls the function that main calls")]
mod probe;

#[test]
fn probe_reports_the_round_trip_time() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", server.local_addr().unwrap());
    let echo = thread::spawn(move || {
        let mut message = [0; 128];
        let (len, client) = server.recv_from(&mut message).unwrap();
        server.send_to(&message[..len], client).unwrap()
    });
    let report = probe::probe(&endpoint, 1).unwrap();
    assert_eq!((report.answered, report.lost.total()), (1, 0));
    assert!(!report.min().unwrap().is_zero());
    assert_eq!(echo.join().unwrap(), 64);
}

#[test]
fn probe_of_a_closed_port_is_an_error() {
    let unused = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", unused.local_addr().unwrap());
    let error = probe::probe(&endpoint, 1).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {endpoint}"));
    assert_eq!(error.failure_kind(), Some(FailureKind::Refused));
}
