//! The examples run and do what they say.

#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn a_program_can_embed_the_server() {
    embed::main().unwrap();
}
