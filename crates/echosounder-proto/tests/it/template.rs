use echosounder_proto::{
    Framing, Input, LocalTime, PREFIX_MAX, Responder, StampContext, Template, TemplateError,
    starts_with_timestamp,
};
use proptest::prelude::*;

fn render(template: &str, peer: &str) -> String {
    let responder = Responder { stamp: template.parse().unwrap(), framing: Framing::default() };
    let mut context = StampContext {
        peer: &peer,
        local: &"tcp://[::1]:7",
        host: "b",
        ..StampContext::anonymous(&LocalTime::EXAMPLE)
    };
    let mut out = Vec::new();
    responder.respond(b"|", Input::More, &mut context, &mut out, |_| {});
    String::from_utf8(out).unwrap()
}

#[test]
fn every_shape_and_field_is_rendered() {
    for (template, stamp) in [
        ("ctime", "[Sun Nov 22 12:19:36 2026] |"),
        ("rfc3339", "[2026-11-22T12:19:36.123456789+01:00] |"),
        ("unix", "[1795346376.123456789] |"),
        ("ns", "[1795346376123456789 1795346376123456789] |"),
        ("none", "|"),
        ("{seq} {host} {peer} {local}>", "1 b a tcp://[::1]:7>|"),
        ("{ctime}", "Sun Nov 22 12:19:36 2026|"),
        ("}", "}|"),
    ] {
        assert_eq!(render(template, "a"), stamp);
    }
}

#[test]
fn a_prefix_that_changes_once_a_second_is_rendered_ahead() {
    let rendered = |text: &str| {
        let stamp =
            text.parse::<Template>().unwrap().render_per_second(&LocalTime::EXAMPLE, "b", b"old".to_vec());
        stamp.map(|stamp| String::from_utf8(stamp).unwrap() + "|")
    };
    for same in ["ctime", "none", "{host}: ", "at {ctime} on {host}> ", "x"] {
        assert_eq!(rendered(same), Some(render(same, "a")), "{same}");
    }
    for other in ["rfc3339", "unix", "ns", "{rx}", "{tx}", "{ctime} {peer}", "{local}", "{seq}"] {
        assert_eq!(rendered(other), None, "{other}");
    }
}

#[test]
fn a_template_knows_which_facts_it_shows() {
    for (text, rx_tx, addresses) in [
        ("none", false, false),
        ("ctime", false, false),
        ("{host} {seq} {unix}", false, false),
        ("ns", true, false),
        ("{tx}", true, false),
        ("{peer}", false, true),
        ("to {local}", false, true),
    ] {
        let template: Template = text.parse().unwrap();
        assert_eq!((template.uses_rx_tx(), template.uses_addresses()), (rx_tx, addresses), "{text}");
    }
}

#[test]
fn template_errors_name_the_wrong_part() {
    let error = |text: &str| text.parse::<Template>().unwrap_err();
    assert_eq!(error("[{ctime"), TemplateError::Unclosed);
    assert_eq!(error("{time}"), TemplateError::UnknownField("time".into()));
    assert_eq!(error("\u{1b}[31m"), TemplateError::Unprintable('\u{1b}'));
    assert_eq!(error("é"), TemplateError::Unprintable('é'));
    assert!("x".repeat(PREFIX_MAX).parse::<Template>().is_ok());
    assert_eq!(error(&"x".repeat(PREFIX_MAX + 1)), TemplateError::TooLong);
    assert_eq!(error(&"{rfc3339}".repeat(4)), TemplateError::TooLong);
    assert_eq!(
        error("{time}").to_string(),
        "no field is named {time}; there are \
         {ctime} {rfc3339} {unix} {rx} {tx} {peer} {local} {host} {seq}"
    );
}

#[test]
fn a_prefix_has_only_printable_characters() {
    assert_eq!(render("{peer}", "\u{1b}[2Jé\n"), "?[2J???|");
    assert_eq!(render("{peer}", &"p".repeat(500)).len(), PREFIX_MAX + 1);
}

#[test]
fn templates_that_begin_with_a_built_in_shape_are_recognised() {
    let begins = |text: &str| text.parse::<Template>().unwrap().starts_with_builtin();
    for text in ["ctime", "rfc3339", "unix", "ns", "[{ctime}] {peer} says: ", "[{rx} {tx}] "] {
        assert!(begins(text), "{text}");
    }
    for text in
        ["none", "{ctime}", "[{ctime}]", "[{rx}] ", "[{rx}{tx}] ", "[{seq}] ", " [{ctime}] ", "[{ctime}"]
    {
        assert!(text.parse::<Template>().is_ok_and(|template| !template.starts_with_builtin()), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_no_prefix_is_too_long(text in any::<String>(), peer in any::<String>()) {
        if text.parse::<Template>().is_ok() {
            prop_assert!(render(&text, &peer).len() <= PREFIX_MAX + 1);
        }
    }

    #[test]
    fn a_prefix_with_a_built_in_shape_is_a_timestamp(tail in "[ -z]{0,40}") {
        for shape in ["[{ctime}] ", "[{rfc3339}] ", "[{unix}] ", "[{rx} {tx}] "] {
            let Ok(template) = format!("{shape}{tail}").parse::<Template>() else { continue };
            prop_assert!(template.starts_with_builtin());
            let rendered = render(&[shape, &tail].concat(), "p");
            prop_assert!(starts_with_timestamp(rendered.as_bytes()));
        }
    }
}
