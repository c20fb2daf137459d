//! Manual pages, made from the table of verbs and the definitions of their arguments.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::verbs::{self, Verb};

/// Section of the manual: commands of the administrator.
const SECTION: &str = "8";

/// The examples as `--help` shows them.
pub(super) fn examples_text(verb: &Verb) -> String {
    let mut text = String::from("Examples:");
    for (what, command) in verb.examples {
        text.push_str(&format!("\n  {what}:\n    {command}"));
    }
    if verb.examples.is_empty() {
        String::new()
    } else {
        text
    }
}

/// The name of a verb's page: that of the command, or one of our own where the verb is only a word
/// after `wpar`, for there is a mount(8) already.
pub(super) fn title(verb: &Verb) -> String {
    if verb.linked {
        verb.name.to_owned()
    } else {
        format!("wpar-{}", verb.name)
    }
}

/// The file name of a page.
pub(super) fn file_name(title: &str) -> String {
    format!("{title}.{SECTION}")
}

/// The page of one verb.
pub(super) fn page(verb: &Verb) -> std::io::Result<Vec<u8>> {
    // What `--help` has at its end stands in sections of its own here.
    let title = title(verb);
    let mut command = super::single(verb).after_long_help("").name(title.clone());
    if !verb.linked {
        command = command.bin_name(format!("wpar {}", verb.name));
    }
    let man = man(command, &title);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (what, command) in verb.examples {
        roff.control("TP", []);
        roff.text([roman(format!("{what}:"))]);
        roff.text([bold(*command)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in exit_statuses(verb) {
        roff.control("TP", []);
        roff.text([bold(*status)]);
        roff.text([roman(*meaning)]);
    }
    roff.control("SH", ["AIX COMPATIBILITY"]);
    roff.text([roman(verb.compatibility)]);
    roff.control("SH", ["FILES"]);
    for (path, what) in FILES {
        roff.control("TP", []);
        roff.text([bold(*path)]);
        roff.text([roman(*what)]);
    }
    see_also(&mut roff, &title);
    roff.to_writer(&mut out)?;
    Ok(out)
}

/// The page of `wpar` itself.
pub(super) fn overview() -> std::io::Result<Vec<u8>> {
    let man = man(super::whole(), "wpar");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    man.render_subcommands_section(&mut out)?;
    let mut roff = Roff::new();
    see_also(&mut roff, "wpar");
    roff.to_writer(&mut out)?;
    Ok(out)
}

fn man(command: clap::Command, name: &str) -> Man {
    Man::new(command)
        .title(name.to_uppercase())
        .section(SECTION)
        .source(concat!("wpar ", env!("CARGO_PKG_VERSION")))
        .manual("Workload partitions")
}

fn exit_statuses(verb: &Verb) -> &'static [(&'static str, &'static str)] {
    const OF_ALL: &[(&str, &str)] = &[
        ("0", "Done."),
        (
            "1",
            "Failed; one line on standard error says what and what to do.",
        ),
        ("2", "The arguments make no sense; nothing was done."),
        (
            "128+N",
            "Ended by signal N, 130 by Ctrl-C; what was begun is undone.",
        ),
    ];
    const OF_COMMANDS: &[(&str, &str)] = &[
        (
            "the command's",
            "The command ran; 128+N if signal N ended it.",
        ),
        ("125", "Failed before the command could run."),
        ("126, 127", "The command cannot be run; does not exist."),
        ("2", "The arguments make no sense; nothing was done."),
    ];
    const OF_DIFF: &[(&str, &str)] = &[
        ("0", "The two are the same."),
        ("1", "They are different."),
        (
            "2",
            "They, or some of their files, could not be compared; lines on standard error say why.",
        ),
        ("128+N", "Ended by signal N, 130 by Ctrl-C."),
    ];
    if verb.name == "diff" {
        OF_DIFF
    } else if matches!(verb.name, "clogin" | "wparexec") {
        OF_COMMANDS
    } else {
        OF_ALL
    }
}

/// Below the root of `--root`.
const FILES: &[(&str, &str)] = &[
    ("/var/lib/wpar", "Records, stores, indexes of images, logs."),
    ("/run/wpar", "What is true in this boot of the host only."),
    ("/wpars", "Base directories."),
];

fn see_also(roff: &mut Roff, name: &str) {
    let mut pages: Vec<String> = verbs::ALL
        .iter()
        .filter(|verb| verb.public)
        .map(title)
        .filter(|title| title != name)
        .map(|title| format!("{title}({SECTION})"))
        .collect();
    if name != "wpar" {
        pages.push(format!("wpar({SECTION})"));
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
}
