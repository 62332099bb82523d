//! The JSON of every command fits `docs/schema.json`. [`Schema`] checks the part of JSON Schema
//! 2020-12 that this schema uses; any other keyword fails at once, so that no rule stays unchecked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use echosounder_proto::DropReason;
use echosounder_server::DisconnectReason;
use serde_json::{Map, Value};

use crate::support::{Finished, Folder, Serving, closed_port, json_lines, run};

const TYPES: [&str; 7] = ["null", "boolean", "string", "number", "integer", "array", "object"];

/// Returns the schema of all lines.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::parse(&document("schema.json")))
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// Fails unless each line fits the schema.
#[track_caller]
pub(crate) fn assert_lines(lines: &[Value]) {
    for line in lines {
        assert_eq!(schema().check(line), Ok(()), "{line}");
    }
}

/// A schema in which every keyword is known.
pub(crate) struct Schema(Value);

impl Schema {
    /// Reads a schema.
    ///
    /// # Panics
    ///
    /// If it is no JSON, or uses something that this checker does not know.
    pub(crate) fn parse(text: &str) -> Self {
        let schema = Self(serde_json::from_str(text).unwrap());
        schema.examine(&schema.0);
        schema
    }

    /// Checks a value, and returns its first violation of the schema.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.apply(&self.0, value)
    }

    /// Fails unless this part of the schema, and all parts of it, can be checked.
    fn examine(&self, part: &Value) {
        for (keyword, rule) in object(part) {
            match keyword.as_str() {
                "$schema" => assert_eq!(rule, "https://json-schema.org/draft/2020-12/schema"),
                "title" | "description" => assert!(rule.is_string(), "{keyword}: {rule}"),
                "$defs" | "properties" => object(rule).values().for_each(|part| self.examine(part)),
                "oneOf" => array(rule).iter().for_each(|part| self.examine(part)),
                "items" => self.examine(rule),
                "$ref" => drop(self.definition(rule)),
                "type" => {
                    one_or_many(rule).iter().for_each(|name| assert!(TYPES.contains(&text(name)), "{name}"))
                }
                "required" => {
                    for key in array(rule) {
                        assert!(part["properties"].get(text(key)).is_some(), "{key} is required and unknown");
                    }
                }
                "minimum" | "maximum" | "multipleOf" => assert!(rule.is_number(), "{keyword}: {rule}"),
                "additionalProperties" if rule.is_object() => self.examine(rule),
                "additionalProperties" => assert_eq!(rule, false),
                "uniqueItems" => assert_eq!(rule, true),
                "enum" => assert!(!array(rule).is_empty()),
                "const" => {}
                _ => panic!("tests/it/schema.rs does not know the keyword {keyword:?}: add it there"),
            }
        }
    }

    fn apply(&self, part: &Value, value: &Value) -> Result<(), String> {
        for (keyword, rule) in object(part) {
            let holds = match keyword.as_str() {
                "$ref" => self.apply(self.definition(rule), value).map(|()| true)?,
                "oneOf" => self.apply_one(array(rule), value).map(|()| true)?,
                "properties" => self.apply_properties(object(rule), value).map(|()| true)?,
                "items" => self.apply_items(rule, value).map(|()| true)?,
                "type" => one_or_many(rule).iter().any(|name| is_type(value, name)),
                "const" => value == rule,
                "enum" => array(rule).contains(value),
                "minimum" => number(value).is_none_or(|value| number(rule) <= Some(value)),
                "maximum" => number(value).is_none_or(|value| Some(value) <= number(rule)),
                "multipleOf" => number(value).zip(number(rule)).is_none_or(|(value, of)| value % of == 0.0),
                "required" => {
                    array(rule).iter().all(|key| !value.is_object() || value.get(text(key)).is_some())
                }
                "additionalProperties" => self.apply_to_others(part, rule, value).map(|()| true)?,
                "uniqueItems" => {
                    let items: Vec<String> =
                        value.as_array().into_iter().flatten().map(Value::to_string).collect();
                    items.iter().collect::<BTreeSet<_>>().len() == items.len()
                }
                _ => true,
            };
            if !holds {
                return Err(format!("not as {keyword} wants it, {rule}: {value}"));
            }
        }
        Ok(())
    }

    /// Checks that exactly one of the parts fits. If none does, the error is that of the part
    /// for the same event.
    fn apply_one(&self, parts: &[Value], value: &Value) -> Result<(), String> {
        let (fitting, others): (Vec<_>, Vec<_>) =
            parts.iter().map(|part| (part, self.apply(part, value))).partition(|(_, result)| result.is_ok());
        match (fitting.len(), others) {
            (1, _) => Ok(()),
            (0, others) => {
                let meant = others.into_iter().find(|(part, _)| self.is_event(part, value));
                meant.map_or_else(|| Err(format!("no event of this name: {value}")), |(_, result)| result)
            }
            (several, _) => Err(format!("{several} of oneOf fit: {value}")),
        }
    }

    /// Whether the event of the value is that of this part.
    fn is_event(&self, part: &Value, value: &Value) -> bool {
        let part = part.get("$ref").map_or(part, |name| self.definition(name));
        value.get("event").is_some_and(|event| self.apply(&part["properties"]["event"], event).is_ok())
    }

    fn apply_properties(&self, parts: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let present = parts.iter().filter_map(|(key, part)| Some((key, part, value.get(key)?)));
        for (key, part, value) in present {
            self.apply(part, value).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(())
    }

    /// Checks the keys that `properties` does not name: against a schema, or that there are none.
    fn apply_to_others(&self, part: &Value, rule: &Value, value: &Value) -> Result<(), String> {
        let is_known = |key: &str| part["properties"].get(key).is_some();
        let mut others = value.as_object().into_iter().flatten().filter(|(key, _)| !is_known(key));
        others.try_for_each(|(key, value)| match rule.is_object() {
            true => self.apply(rule, value).map_err(|error| format!("{key}: {error}")),
            false => Err(format!("unknown key {key}: {value}")),
        })
    }

    fn apply_items(&self, part: &Value, value: &Value) -> Result<(), String> {
        value.as_array().into_iter().flatten().try_for_each(|item| self.apply(part, item))
    }

    /// The part of the schema to which a `$ref` points.
    fn definition(&self, name: &Value) -> &Value {
        let path = text(name).strip_prefix('#').unwrap_or_else(|| panic!("a $ref to another file: {name}"));
        self.0.pointer(path).unwrap_or_else(|| panic!("a $ref to nothing: {name}"))
    }
}

fn is_type(value: &Value, name: &Value) -> bool {
    match text(name) {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => number(value).is_some_and(|value| value.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is named {other:?}"),
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}"))
}

fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

#[test]
fn every_keyword_accepts_and_refuses_values() {
    for (schema, fits, others) in [
        (r#"{"type": "integer"}"#, &["1", "-1", "1.0"][..], &["1.5", "\"1\"", "null", "[1]"][..]),
        (r#"{"type": ["number", "null"]}"#, &["1.5", "2", "null"], &["true", "{}"]),
        (r#"{"const": "a"}"#, &["\"a\""], &["\"b\"", "null"]),
        (r#"{"enum": ["a", null]}"#, &["\"a\"", "null"], &["\"b\"", "0"]),
        (r#"{"minimum": 2, "maximum": 3}"#, &["2", "3", "\"text\""], &["1", "1.9", "3.1"]),
        (r#"{"multipleOf": 15}"#, &["-30", "0", "15"], &["7", "16"]),
        (r#"{"items": {"enum": [1, 2]}, "uniqueItems": true}"#, &["[]", "[2, 1]"], &["[3]", "[1, 1]"]),
        (
            r#"{"properties": {"a": {"type": "null"}, "b": {}}, "required": ["b"], "additionalProperties": false}"#,
            &[r#"{"b": 1}"#, r#"{"a": null, "b": 2}"#],
            &["{}", r#"{"a": null}"#, r#"{"b": 1, "a": 1}"#, r#"{"b": 1, "c": 1}"#],
        ),
        (
            r#"{"additionalProperties": {"type": "integer"}}"#,
            &["{}", r#"{"a": 1, "b": 2}"#],
            &[r#"{"a": null}"#, r#"{"a": 1, "b": "2"}"#],
        ),
        (
            r##"{"$defs": {"one": {"minimum": 1}}, "oneOf": [{"$ref": "#/$defs/one"}, {"maximum": 3}]}"##,
            &["0", "4"],
            &["1", "3"],
        ),
    ] {
        let checker = Schema::parse(schema);
        let check = |value: &&str| checker.check(&serde_json::from_str(value).unwrap());
        for value in fits {
            assert_eq!(check(value), Ok(()), "{schema}: {value}");
        }
        for value in others {
            assert!(check(value).is_err(), "{schema}: {value}");
        }
    }
}

#[test]
fn schema_with_an_unknown_keyword_is_refused() {
    for schema in [
        r#"{"typ": "integer"}"#,
        r#"{"type": "int"}"#,
        r##"{"items": {"$ref": "#/$defs/none"}}"##,
        r#"{"properties": {"a": {}}, "required": ["b"]}"#,
        r#"{"oneOf": [{"pattern": "a"}]}"#,
    ] {
        assert!(std::panic::catch_unwind(|| Schema::parse(schema)).is_err(), "{schema}");
    }
}

/// The lines on standard output and standard error, which must fit the schema.
#[track_caller]
fn lines(done: &Finished) -> Vec<Value> {
    let lines = [done.objects(), json_lines(&done.stderr)].concat();
    assert_lines(&lines);
    lines
}

/// Fails unless the lines have exactly these events.
#[track_caller]
fn assert_events(lines: &[Value], expected: &[&str]) {
    let events: BTreeSet<&str> = lines.iter().map(|line| text(&line["event"])).collect();
    assert_eq!(events, expected.iter().copied().collect(), "{lines:?}");
}

#[test]
fn lines_of_ping_fit_the_schema() {
    let done = run(&["ping", "--json", "--self", "udp://127.0.0.1:0", "-c", "30", "-i", "50ms"], b"");
    assert_events(&lines(&done), &["start", "sample", "interval", "result"]);
    let folder = Folder::new();
    let file = folder.join("r.json");
    let dead = format!("tcp://127.0.0.1:{}", closed_port());
    let done = run(&["ping", "--json", "-c", "1", "-o", &file, &dead], b"");
    assert_events(&lines(&done), &["error"]);
    let written = json_lines(&fs::read_to_string(file).unwrap());
    assert_lines(&written);
    assert_events(&written, &["error"]);
}

#[test]
fn lines_of_load_fit_the_schema() {
    let folder = Folder::new();
    let file = folder.join("r.json");
    let done = run(&["load", "--json", "--self", "-d", "1200ms", "-o", &file], b"");
    assert_events(&lines(&done), &["interval", "result"]);
    let written = json_lines(&fs::read_to_string(file).unwrap());
    assert_lines(&written);
    assert_events(&written, &["result"]);
    // A rate of one in a hundred seconds: no message is due.
    let done = run(&["load", "--json", "--self", "-r", "0.01", "-d", "100ms", "--warm-up", "0"], b"");
    lines(&done);
    let dead = format!("tcp://127.0.0.1:{}", closed_port());
    assert_events(&lines(&run(&["load", "--json", &dead], b"")), &["error"]);
}

#[test]
fn lines_of_a_ramp_fit_the_schema() {
    let done = run(&["load", "--json", "--self", "--ramp", "20s", "-d", "150ms", "-w", "20s"], b"");
    let lines = lines(&done);
    assert!(lines.iter().any(|line| line["event"] == "step"), "{lines:?}");
}

#[test]
fn lines_of_serve_and_talk_fit_the_schema() {
    let endpoints = ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"];
    let serving = Serving::with(&[&["--json", "--transcript", "messages"], &endpoints[..]].concat(), 2);
    let talk = run(&["talk", "--json", &serving.endpoints()[0]], b"hello\n\xff\n");
    assert_events(&lines(&talk), &["reply"]);
    // A datagram has at most 65,507 bytes.
    let long = [b"hello\n", &[b'x'; 70_000][..], b"\n"].concat();
    let talk = run(&["talk", "--json", &serving.endpoints()[1]], &long);
    assert_events(&lines(&talk), &["reply", "not_sent", "error"]);
    serving.program().wait_for_lines(5);
    let done = serving.stop();
    assert_events(&lines(&done), &["listening", "connected", "message", "closed", "summary"]);
    let dead = format!("tcp://127.0.0.1:{}", closed_port());
    assert_events(&lines(&run(&["talk", "--json", &dead], b"hello\n")), &["error"]);
}

#[test]
fn lines_of_demo_and_doctor_fit_the_schema() {
    let demo = lines(&run(&["demo", "--json"], b""));
    assert!(demo.iter().all(|line| line["event"] == "result" || line["event"] == "note"), "{demo:?}");
    assert_events(&lines(&run(&["doctor", "--json"], b"")), &["check", "limit"]);
}

#[test]
fn lines_of_config_fit_the_schema() {
    let input = b"[serve]\nx = 1\nstamp = 1\n";
    let done = run(&["config", "--json", "--check", "-"], input);
    assert_events(&lines(&done), &["config", "error"]);
}

#[test]
fn lines_of_wrong_usage_fit_the_schema() {
    for args in [&["--json", "load", "-P", "4"][..], &["--json", "ping", "foo://x"], &["--json"]] {
        assert_events(&lines(&run(args, b"")), &["error"]);
    }
}

#[test]
fn every_key_of_the_schema_is_documented() {
    let documented = document("json.md");
    for (event, part) in object(&schema().0["$defs"]) {
        for key in part["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(documented.contains(&format!("`{key}`")), "{event}: {key}");
        }
    }
}

#[test]
fn every_reason_is_documented() {
    let documented = document("json.md");
    let dropped = DropReason::ALL.iter().map(|reason| reason.word());
    let disconnected = DisconnectReason::ALL.iter().map(|reason| reason.name());
    for reason in dropped.chain(disconnected) {
        assert!(documented.contains(&format!("`{reason}`")), "{reason}");
    }
}
