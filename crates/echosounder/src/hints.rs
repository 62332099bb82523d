//! What a user probably meant: likely endpoints, and the ways of this program for the flags of nc, ping and their kin.

use std::io;
use std::net::Ipv4Addr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory};
use echosounder_client::ClientError;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Address, Endpoint, EndpointError, Error, Transport, is_forbidden, is_other_type, is_too_long,
};

use crate::args::Args;

/// The first port that any user may bind, unless net.ipv4.ip_unprivileged_port_start says otherwise: ip(7), vsock(7).
const UNPRIVILEGED_PORT: u32 = 1024;

/// Schemes of other programs that mean a TCP connection, and their ports.
const FOREIGN: [(&str, u16); 9] = [
    ("http", 80),
    ("https", 443),
    ("ws", 80),
    ("wss", 443),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("redis", 6379),
];

/// The endpoint that was probably meant by a text that is none.
pub(crate) fn endpoint(text: &str, error: &EndpointError) -> Option<String> {
    let meant = match error {
        EndpointError::UnknownScheme(scheme) => {
            let rest = text[scheme.trim_end_matches(':').len()..].trim_start_matches(':');
            by_scheme(scheme.trim_end_matches(':'), rest)?
        }
        EndpointError::BadV4(host) => text.replace(host, &aton(host)?.to_string()),
        EndpointError::BadHost(_) | EndpointError::BadPort(_) => without_path(text)?,
        _ => return None,
    };
    (meant != text && meant.parse::<Endpoint>().is_ok()).then(|| format!("did you mean \"{meant}\"?"))
}

/// What was meant by a scheme that does not exist, or has other signs behind it than it must have.
fn by_scheme(scheme: &str, rest: &str) -> Option<String> {
    let typed = scheme.to_ascii_lowercase();
    // A stream is what each family has without a word behind it.
    let typed = typed.strip_suffix("-stream").unwrap_or(&typed).to_owned();
    let authority = rest.trim_start_matches('/');
    if let Some((_, port)) = FOREIGN.iter().find(|(foreign, _)| *foreign == typed) {
        let host = authority.split(['/', '?', '#']).next()?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let plain = format!("tcp://{host}:{port}");
        return Some(if plain.parse::<Endpoint>().is_ok() { plain } else { format!("tcp://{host}") });
    }
    // Of those that are equally near, it is the first of the table, the most common.
    let known = Transport::all()
        .map(Transport::scheme)
        .min_by_key(|known| strsim::damerau_levenshtein(known, &typed))
        .filter(|known| 0.6 < strsim::normalized_damerau_levenshtein(known, &typed))?;
    let rest = if known.starts_with("unix") { rest.trim_start_matches("//") } else { authority };
    let separator = if known.starts_with("unix") { ":" } else { "://" };
    Some(format!("{known}{separator}{rest}"))
}

/// The endpoint without what stands before and behind a host and its port in a URL; a blank as a colon.
fn without_path(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let rest = rest.trim_start_matches('/').split(['/', '?', '#']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let words: Vec<&str> = rest.split_whitespace().collect();
    Some(format!("{scheme}{separator}{}", words.join(":")))
}

/// What inet_aton(3) reads in a text such as `127.1`; nothing where one number or a leading zero leaves it in doubt.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let part = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if 1 < text.len() && text.starts_with('0') => None,
        None => text.parse().ok(),
    };
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.is_empty() && !text.starts_with("0x") || 3 < first.len() || first.iter().any(|part| 255 < *part)
    {
        return None;
    }
    // The last number fills all bytes that are left.
    let free = 8 * (4 - first.len());
    if u64::from(*last) >> free != 0 {
        return None;
    }
    let front = first.iter().zip([24, 16, 8]).map(|(part, shift)| part << shift).sum::<u32>();
    Some((front | last).into())
}

/// Returns what may help when a server could not bind an address.
pub(crate) fn bind_error(error: &Error) -> Option<&'static str> {
    if error.cause().kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let port = match error.address()? {
        Address::Unix(UnixName::Path(_)) => return Some("a path needs the right to write to its folder"),
        Address::Vsock(address) => address.port,
        address => address.port()?.into(),
    };
    (1..UNPRIVILEGED_PORT).contains(&port).then_some("ports below 1024 need CAP_NET_BIND_SERVICE")
}

/// Returns what may help when this machine could not carry out an operation with a peer.
pub(crate) fn client_error(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Local(error) => local_error(error),
        ClientError::Everywhere(failures) => failures.iter().find_map(client_error),
        _ => None,
    }
}

fn local_error(error: &Error) -> Option<&'static str> {
    let cause = error.cause();
    let is_by_kernel = cause.raw_os_error().is_some();
    if cause.kind() == io::ErrorKind::AddrNotAvailable && !is_by_kernel {
        return Some(
            "use fewer connections, or widen the range of local ports: sysctl net.ipv4.ip_local_port_range",
        );
    }
    if !matches!(error.operation(), "connect to" | "send to" | "receive from") {
        return None;
    }
    match error.address()? {
        address if address.ip().is_some() && is_forbidden(cause) => {
            Some("a packet filter of this machine forbids it, or its connection tracking table is full")
        }
        Address::Inet6(address)
            if address.ip().is_unicast_link_local()
                && address.scope_id() == 0
                && cause.kind() == io::ErrorKind::InvalidInput =>
        {
            Some("a link-local address needs its interface, as in [fe80::1%eth0]")
        }
        address
            if address.ip().is_some()
                && error.operation() == "connect to"
                && cause.kind() == io::ErrorKind::InvalidInput =>
        {
            Some("that address cannot be used as the source on the way there")
        }
        Address::Unix(_) if is_other_type(cause) => {
            Some("the socket there has another type: try unix:, unix-dgram: or unix-seqpacket:")
        }
        address if is_too_long(cause) => Some(message_limit(address)),
        _ => None,
    }
}

/// Returns the limit that a message exceeds if send(2) fails with EMSGSIZE.
fn message_limit(address: &Address) -> &'static str {
    match address {
        Address::Inet(_) => "a UDP message over IPv4 has at most 65,507 bytes",
        Address::Inet6(_) => "a UDP message over IPv6 has at most 65,527 bytes",
        Address::Tipc(_) => "a TIPC message has at most 66,000 bytes",
        Address::Unix(_) | Address::Netlink(_) => {
            "a message must fit into the send buffer: sysctl net.core.wmem_default"
        }
        _ => "a message must fit into the send buffer",
    }
}

/// The endpoint of a host and a port that were typed as two arguments.
fn joined(host: &str, port: &str) -> Option<String> {
    let has_ports = |endpoint: Endpoint| endpoint.transport().default_port().is_some();
    let text = format!("{host}:{port}");
    let fits = is_number(port) && host.parse().is_ok_and(has_ports) && text.parse::<Endpoint>().is_ok();
    fits.then_some(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An error for a port that stands apart from its host, where a command takes several endpoints.
pub(crate) fn split_endpoint(matches: &ArgMatches) -> Option<clap::Error> {
    let (_, command) = matches.subcommand()?;
    let typed: Vec<&str> =
        command.try_get_raw("endpoints").ok()??.filter_map(|typed| typed.to_str()).collect();
    typed.windows(2).find_map(|pair| {
        let meant = joined(pair[0], pair[1])?;
        let message = format!(
            "host '{}' and port '{}' are two arguments\n\nhint: did you mean \"{meant}\"?\n\n\
             For more information, try '--help'.\n",
            pair[0], pair[1]
        );
        Some(clap::Error::raw(ErrorKind::TooManyValues, message))
    })
}

/// What was probably meant by arguments that clap does not take.
pub(crate) fn usage(typed: &[String], error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let words = Words::of(typed);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let wrong = context(ContextKind::InvalidArg)?;
            if wrong.starts_with('-') {
                return words.flags_by_weight().iter().find_map(|flag| habit(&words, flag));
            }
            let place = typed.iter().rposition(|word| word == wrong)?;
            let meant = joined(typed.get(place.checked_sub(1)?)?, wrong)?;
            Some(format!("did you mean \"{meant}\"?"))
        }
        ErrorKind::InvalidSubcommand => {
            let line = command_line(&words, context(ContextKind::InvalidSubcommand)?)?;
            Some(format!("did you mean {line}?"))
        }
        _ => None,
    }
}

/// The command line that was probably meant by a word that is no command.
fn command_line(words: &Words<'_>, wrong: &str) -> Option<String> {
    match wrong {
        "listen" | "server" | "listener" | "echo" => return Some(words.line("serve", "")),
        "client" | "connect" | "nc" | "netcat" | "send" => return Some(words.line("talk", "")),
        "version" => return Some("\"sounder --version\"".to_owned()),
        port if is_number(port) => return Some(format!("\"sounder serve {port}\"")),
        _ => {}
    }
    let is_place = wrong.contains([':', '.', '/', '@']) || wrong == "localhost" || words.port.is_some();
    wrong.parse::<Endpoint>().ok().filter(|_| is_place && words.host.is_some())?;
    Some(words.line("talk", ""))
}

const COMMANDS: [&str; 4] = ["serve", "talk", "ping", "load"];

/// Words that stand where a command does and are none.
const NO_COMMANDS: [&str; 9] =
    ["listen", "server", "listener", "echo", "client", "connect", "nc", "netcat", "send"];

/// Flags that say what is to be done weigh more than those that say how.
const WEIGHTY: [&str; 12] =
    ["-l", "--listen", "-z", "--zero", "-u", "--udp", "-U", "--unix", "-p", "--port", "-f", "--flood"];

/// What was typed, as far as a hint needs it.
struct Words<'a> {
    command: Option<&'a str>,
    /// The flags that the command does not have.
    flags: Vec<String>,
    host: Option<&'a str>,
    port: Option<&'a str>,
}

impl<'a> Words<'a> {
    fn of(typed: &'a [String]) -> Self {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let place = typed.iter().position(|word| COMMANDS.contains(word) || NO_COMMANDS.contains(word));
        let words = &typed[place.map_or(0, |place| place + 1)..];
        let is_host = |word: &&str| {
            let is_value = word.starts_with('-') || word.starts_with(|c: char| c.is_ascii_digit());
            !is_value && word.parse::<Endpoint>().is_ok() || word.parse::<Ipv4Addr>().is_ok()
        };
        let host = words.iter().position(is_host);
        let is_port = |word: &&&str| is_number(word) && word.parse::<u16>().is_ok();
        let behind_host = host.and_then(|place| words.get(place + 1)).filter(is_port);
        let behind_flag =
            || words.windows(2).filter(|pair| names_port(pair[0])).map(|pair| &pair[1]).find(is_port);
        // A server has no host in front of its port.
        let alone = || words.iter().filter(|_| host.is_none()).find(is_port);
        let port = behind_host.or_else(behind_flag).or_else(alone).copied();
        let command = place.map(|place| typed[place]);
        Self {
            command: command.filter(|command| COMMANDS.contains(command)),
            flags: words
                .iter()
                .flat_map(|word| flags(word))
                .filter(|flag| !has_flag(command, flag))
                .collect(),
            host: host.map(|place| words[place]),
            port: port.or_else(|| words.iter().find_map(|word| attached_port(word))),
        }
    }

    /// The flags that the command does not have, what is to be done first.
    fn flags_by_weight(&self) -> Vec<&str> {
        let weighty = WEIGHTY.iter().copied().filter(|weighty| self.flags.iter().any(|flag| flag == weighty));
        weighty.chain(self.flags.iter().map(String::as_str)).collect()
    }

    /// The endpoint of a host, with another scheme if one is named.
    fn endpoint(&self, scheme: &str, host: &str) -> String {
        let has_hosts = host.parse::<Endpoint>().is_ok_and(|endpoint| endpoint.transport().has_hosts());
        if !has_hosts && scheme == "udp://" {
            return format!("unix-dgram:{}", host.trim_start_matches("unix:"));
        }
        let bare = host.split_once("://").map_or(host, |(_, bare)| bare);
        let host = if scheme.is_empty() || !has_hosts { host } else { bare };
        let scheme = if has_hosts { scheme } else { "" };
        let port = self.port.filter(|port| joined(host, port).is_some());
        format!("{scheme}{host}{}", port.map_or_else(String::new, |port| format!(":{port}")))
    }

    /// A command line that does what was wanted.
    fn line(&self, command: &str, scheme: &str) -> String {
        let udp = self.flags.iter().any(|flag| flag == "-u" || flag == "--udp");
        let scheme = if udp && scheme.is_empty() { "udp://" } else { scheme };
        let target = match (self.host, self.port) {
            (None, None) if command == "serve" => format!("{scheme}:PORT"),
            (None, None) => format!("{scheme}HOST:PORT"),
            (None, Some(port)) if scheme.is_empty() || command == "serve" => format!("{scheme}:{port}"),
            (None, Some(port)) => format!("{scheme}localhost:{port}"),
            (Some(host), _) => self.endpoint(scheme, host),
        };
        format!("\"sounder {command} {target}\"")
    }
}

/// The flags in a word, a short one each: `-lvp`, `-p8080`, `--port=8080`.
fn flags(word: &str) -> Vec<String> {
    match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(""), _) | (None, None) => Vec::new(),
        (Some(long), _) => vec![format!("--{}", long.split('=').next().unwrap_or(long))],
        (None, Some(short)) => {
            let letters = short.chars().take_while(char::is_ascii_alphabetic);
            letters.map(|letter| format!("-{letter}")).collect()
        }
    }
}

/// Whether a command has this flag, for whatever it may stand there.
fn has_flag(command: Option<&str>, flag: &str) -> bool {
    let mut program = Args::command();
    program.build();
    let command = command.and_then(|command| program.find_subcommand(command));
    command.is_some_and(|command| {
        command.get_arguments().any(|arg| {
            let short = arg.get_short().map(|short| format!("-{short}"));
            let long = arg.get_long().map(|long| format!("--{long}"));
            short.as_deref() == Some(flag) || long.as_deref() == Some(flag)
        })
    })
}

/// Whether a word is a flag behind which other programs have a port.
fn names_port(word: &str) -> bool {
    let is_short = word.starts_with('-') && !word.starts_with("--") && word.ends_with(['p', 'l']);
    is_short || word == "--port" || word == "--listen"
}

/// The port of `-p8080` or `--port=8080`.
fn attached_port(word: &str) -> Option<&str> {
    let port = word.strip_prefix("--port=").or_else(|| {
        let digits = word.strip_prefix('-')?.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        names_port(word.strip_suffix(digits)?).then_some(digits)
    })?;
    (is_number(port) && port.parse::<u16>().is_ok()).then_some(port)
}

/// How a flag of nc, ping, iperf and their kin is written here.
fn habit(words: &Words<'_>, flag: &str) -> Option<String> {
    let command = words.command.unwrap_or("talk");
    let scheme = |protocol: &str, prefix: &str| {
        Some(format!("{protocol} is part of the endpoint: {}", words.line(command, prefix)))
    };
    let text = match (command, flag) {
        (_, "-u" | "--udp") => return scheme("UDP", "udp://"),
        (_, "-U" | "--unix" | "--unixsock") => {
            "a UNIX socket is an endpoint: /PATH, unix-dgram:PATH or @NAME"
        }
        (_, "--sctp") => return scheme("SCTP", "sctp://"),
        (_, "--mptcp") => return scheme("MPTCP", "mptcp://"),
        (_, "-T" | "--tcp") => return scheme("TCP", "tcp://"),
        (_, "--ssl" | "--tls") => "TLS is not supported",
        (_, "--ipv4") => "-4 uses IPv4 only",
        (_, "--ipv6") => "-6 uses IPv6 only",
        (_, "--vsock") => "VSOCK is part of the endpoint: vsock://CID:PORT",
        (_, "-n" | "--nodns" | "--numeric") => {
            return Some(format!("leave {flag} out: addresses are always printed as numbers"));
        }
        ("serve", "-l" | "--listen" | "-s" | "--server") => {
            return Some(format!("leave {flag} out, it always listens: {}", words.line("serve", "")));
        }
        ("load", "-l" | "--length") => "-s sets the size of a message",
        ("ping", "-l" | "--preload") => "\"sounder load -p N\" keeps N messages in flight",
        (_, "-l" | "--listen") => {
            return Some(format!("the command that listens is serve: {}", words.line("serve", "")));
        }
        (_, "-p" | "--port" | "-P") if (command, flag) != ("load", "-P") => {
            return Some(format!("the port is part of the endpoint: {}", words.line(command, "")));
        }
        ("load", "-P" | "--parallel") => "-c sets the number of connections",
        ("load", "-b" | "--bandwidth" | "--bitrate") => "-r sets the rate, in messages per second",
        ("load", "-z") => "-d sets the duration",
        ("load", "-i" | "--interval") => "--json prints an interval every second",
        ("serve", "-k" | "--keep-open") => {
            return Some(format!("leave {flag} out: it always serves many clients at once"));
        }
        ("serve", "-m" | "--max-conns") => "--max-connections sets the maximum number of connections",
        ("serve", "-w" | "-i" | "--timeout") => {
            "--idle-timeout closes connections that send nothing for so long"
        }
        ("serve", "-v" | "--verbose") => "--transcript messages shows who connects and what is received",
        ("serve", "-b" | "-a" | "--bind" | "--host" | "-H") => {
            "the address is part of the endpoint: \"sounder serve tcp://ADDRESS:PORT\""
        }
        ("serve", "-D" | "-d" | "--daemon") => "it stays in the foreground: start it with systemd or with &",
        (_, "-e" | "--exec" | "--sh-exec") => {
            "sounder runs no programs: \"sounder serve\" is the echo itself"
        }
        ("talk", "-z" | "--zero") => {
            return Some(format!("a probe is {}", words.line("ping -c 1", "")));
        }
        ("talk", "-N" | "--send-only" | "-k") => {
            return Some(format!("leave {flag} out: the end of the input half-closes the connection"));
        }
        ("talk", "-C" | "--crlf") => "--eol crlf ends each line with a carriage return and a line feed",
        ("talk", "-i" | "--idle-timeout" | "--timeout") => "-w sets how long to wait",
        ("talk", "-x" | "--hex-dump") => "--json prints replies that are not UTF-8 in hexadecimal",
        ("talk" | "load", "-s" | "-S" | "--source-address" | "-B") | ("ping", "-S" | "-B") => {
            "-I sets the source: an address of this machine, or an interface"
        }
        ("ping", "-f" | "--flood" | "-A" | "--adaptive") => {
            return Some(format!("-i 0 sends as fast as replies come: {}", words.line("ping -i 0", "")));
        }
        ("ping", "-O") => "leave -O out: lost requests are always reported",
        ("ping", "-b") => "broadcast addresses are refused: a measurement has one peer",
        ("ping", "-m" | "--ttl") => "-t sets the time to live",
        ("ping", "-z" | "--tos") => "-Q sets the DSCP value",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn meant(text: &str) -> Option<String> {
        endpoint(text, &text.parse::<Endpoint>().unwrap_err())
    }

    #[test]
    fn a_mistaken_endpoint_is_guessed() {
        for (text, guess) in [
            ("tpc://host", "tcp://host"),
            ("tcp:/localhost", "tcp://localhost"),
            ("tcp:localhost", "tcp://localhost"),
            ("TCP:localhost:80", "tcp://localhost:80"),
            ("tcp:///localhost", "tcp://localhost"),
            ("udp:localhost:53", "udp://localhost:53"),
            ("vsock:3:9000", "vsock://3:9000"),
            ("unix-datagram://x", "unix-dgram:x"),
            ("unix-stream:/x", "unix:/x"),
            ("http://host", "tcp://host:80"),
            ("https://me@host/index?x", "tcp://host:443"),
            ("http://host:8080/", "tcp://host:8080"),
            ("http://[::1]:8080/", "tcp://[::1]:8080"),
            ("tcp://host:80/", "tcp://host:80"),
            ("host/path", "host"),
            ("me@host", "host"),
            ("localhost 80", "localhost:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("udp://0x7f.1", "udp://127.0.0.1"),
            ("10.1.514", "10.1.2.2"),
        ] {
            assert_eq!(meant(text), Some(format!("did you mean \"{guess}\"?")), "{text}");
        }
        for text in ["gopher://host", "8080:80", "017.0.0.1", "256.0.0.1", "1.2.3.4.5", "host:99999", "::1"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_that_stands_apart_is_joined_to_its_host() {
        for (host, port, whole) in [
            ("localhost", "21567", Some("localhost:21567")),
            ("udp://[::1]", "53", Some("udp://[::1]:53")),
            ("vsock://3", "9000", Some("vsock://3:9000")),
            ("localhost:7", "53", None),
            ("8080", "9090", None),
            ("/run/x", "80", None),
            ("@x", "80", None),
            ("localhost", "70000", None),
            ("localhost", "x", None),
        ] {
            assert_eq!(joined(host, port).as_deref(), whole, "{host} {port}");
        }
    }

    fn hint(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let typed = std::iter::once("sounder").chain(line.split(' '));
        usage(&words, &Args::command().try_get_matches_from(typed).unwrap_err())
    }

    #[test]
    fn the_habits_of_other_programs_get_our_way() {
        for (line, way) in [
            ("serve -l", "\"sounder serve :PORT\""),
            ("serve -l 8080", "\"sounder serve :8080\""),
            ("serve -lk 8080", "\"sounder serve :8080\""),
            ("serve -p 8080", "\"sounder serve :8080\""),
            ("serve --port 8080", "\"sounder serve :8080\""),
            ("serve -u 53", "\"sounder serve udp://:53\""),
            ("serve -p8080", "\"sounder serve :8080\""),
            ("serve --port=8080", "\"sounder serve :8080\""),
            ("serve -vlp 8080", "\"sounder serve :8080\""),
            ("serve -ulp 53", "\"sounder serve udp://:53\""),
            ("serve -u localhost 53", "\"sounder serve udp://localhost:53\""),
            ("talk -u host 53", "\"sounder talk udp://host:53\""),
            ("talk -u", "\"sounder talk udp://HOST:PORT\""),
            ("talk -u tcp://host:7", "\"sounder talk udp://host:7\""),
            ("talk -l 8080", "\"sounder serve :8080\""),
            ("talk -lvnp 4444", "\"sounder serve :4444\""),
            ("talk -lu 53", "\"sounder serve udp://:53\""),
            ("talk -uz host 53", "\"sounder ping -c 1 udp://host:53\""),
            ("talk -nv host 22", "leave -n out"),
            ("talk -uU /run/x", "\"sounder talk unix-dgram:/run/x\""),
            ("talk --ssl host 443", "TLS is not supported"),
            ("talk -z host 22", "\"sounder ping -c 1 host:22\""),
            ("talk -p 8080 10.0.0.1", "\"sounder talk 10.0.0.1:8080\""),
            ("talk -C mail 25", "--eol crlf"),
            ("ping -f host", "\"sounder ping -i 0 host\""),
            ("ping -A host", "\"sounder ping -i 0 host\""),
            ("ping -n host", "leave -n out"),
            ("ping -u host", "\"sounder ping udp://host\""),
            ("ping -p 8080 host", "\"sounder ping host:8080\""),
            ("load -u host", "\"sounder load udp://host\""),
            ("load -P 8 host", "-c sets the number of connections"),
            ("ping --ipv4 host", "-4 uses IPv4 only"),
            ("ping -c 3 host -p 8080", "\"sounder ping host:8080\""),
            ("load -b 1m host", "-r sets the rate"),
            ("-l 8080", "\"sounder serve :8080\""),
            ("listen 8080", "\"sounder serve :8080\""),
            ("server", "\"sounder serve :PORT\""),
            ("connect host 80", "\"sounder talk host:80\""),
            ("8080", "\"sounder serve 8080\""),
            ("host 80", "\"sounder talk host:80\""),
            ("udp://host:53", "\"sounder talk udp://host:53\""),
            ("version", "\"sounder --version\""),
            ("talk host 80", "\"host:80\""),
        ] {
            let hint = hint(line).unwrap_or_else(|| panic!("{line}"));
            assert!(hint.contains(way), "{line}: {hint}");
        }
        for line in ["serve --sing", "sing", "talk a b", "load 8080 9", "load -p x host"] {
            assert_eq!(hint(line), None, "{line}");
        }
    }

    #[test]
    fn errors_of_this_machine_are_explained() {
        // EPERM is 1, EINVAL 22, EMSGSIZE 90.
        let client = |operation, address: &str, errno| {
            let address = Address::from(address.parse::<SocketAddr>().unwrap());
            let error = Error::new(operation, &"x", io::Error::from_raw_os_error(errno));
            client_error(&ClientError::Local(error.with_address(&address))).unwrap_or_default()
        };
        assert!(client("send to", "127.0.0.1:7", 90).contains("65,507"));
        assert!(client("send to", "[::1]:7", 90).contains("65,527"));
        assert!(client("send to", "127.0.0.1:7", 1).contains("filter"));
        assert!(client("connect to", "[fe80::1]:7", 22).contains('%'));
        assert!(client("connect to", "192.0.2.1:7", 22).contains("source"));
        assert_eq!(client("wait for", "127.0.0.1:7", 1), "");
        let no_port = io::Error::new(io::ErrorKind::AddrNotAvailable, "no local port is free");
        let error = ClientError::Local(Error::new("connect to", &"x", no_port));
        assert!(client_error(&error).unwrap().contains("ip_local_port_range"));
    }
}
