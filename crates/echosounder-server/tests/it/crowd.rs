//! Many clients at the same time.

use std::env;
use std::num::NonZeroUsize;
use std::thread;

use echosounder_socket::{Endpoint, Kind};

use crate::{Client, Folder, all_endpoints, config, start, stop};

/// The number of messages of each client: SOUNDER_TEST_ECHOES, or 200.
fn echoes() -> usize {
    env::var("SOUNDER_TEST_ECHOES").map_or(200, |echoes| echoes.parse().unwrap())
}

/// The number of clients of each endpoint.
const CLIENTS: usize = 8;

#[test]
fn clients_on_every_transport_at_once_receive_correct_replies() {
    let folder = Folder::new();
    let names = all_endpoints(&folder);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let workers = NonZeroUsize::new(2).unwrap();
    let (running, endpoints) = start(config(&names).with(|config| config.workers = workers));
    let send_all = |endpoint: &Endpoint, number: usize| {
        let client = Client::of(endpoint);
        for echo in 0..echoes() {
            client.echo(format!("client {number}, echo {echo}").as_bytes());
        }
        if client.kind != Kind::Datagrams && client.half_closes {
            client.finish();
            assert_eq!(client.recv(), b"");
        }
    };
    thread::scope(|scope| {
        for endpoint in &endpoints {
            for number in 0..CLIENTS {
                scope.spawn(move || send_all(endpoint, number));
            }
        }
    });
    let totals = stop(running);
    assert_eq!(totals.messages, (endpoints.len() * CLIENTS * echoes()) as u64);
    assert_eq!((totals.dropped(), totals.disconnected(), totals.errors), (0, 0, 0));
}

#[test]
fn two_hundred_clients_of_one_datagram_socket_receive_their_own_replies() {
    let (running, endpoints) = start(config(&["udp://127.0.0.1:0"]));
    let clients: Vec<Client> = (0..200).map(|_| Client::of(&endpoints[0])).collect();
    let message = |number: usize, round: usize| format!("client {number}, round {round}").into_bytes();
    for round in 0..20 {
        for (number, client) in clients.iter().enumerate() {
            client.send(&message(number, round));
        }
        for (number, client) in clients.iter().enumerate() {
            assert!(client.recv().ends_with(&message(number, round)), "client {number} in round {round}");
        }
    }
    let totals = stop(running);
    assert_eq!((totals.messages, totals.dropped()), (200 * 20, 0));
}
