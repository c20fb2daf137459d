//! What all charts have in common: a page that reads well on light and on dark ground, and colours.

use std::fmt::Write;

/// Colours, for light ground and for dark; who is the n-th in a chart has the n-th.
const COLOURS: [(&str, &str); 10] = [
    ("#57606a", "#9198a1"),
    ("#9a6700", "#d29922"),
    ("#1a7f37", "#3fb950"),
    ("#cf222e", "#f85149"),
    ("#ff8182", "#ffaba8"),
    ("#bf3989", "#f778ba"),
    ("#0969da", "#4493f8"),
    ("#54aeff", "#a5d6ff"),
    ("#8250df", "#ab7df8"),
    ("#1b7c83", "#76e3ea"),
];

/// A page of this size with `body` on it; `style` is for light ground, `dark` what is different on dark
/// one.
pub(crate) fn page(width: f64, height: f64, style: &str, dark: &str, body: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" width="{width}" height="{height:.0}" role="img">
<style>
text {{ font: 14px system-ui, sans-serif; fill: #1f2328 }}
{style}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
{dark}
}}
</style>
{body}</svg>
"#
    )
}

/// Styles of the classes `c0`, `c1` …, for light and for dark ground: filled, and as lines.
pub(crate) fn colours() -> (String, String) {
    let (mut light, mut dark) = (String::new(), String::new());
    for (number, colours) in COLOURS.iter().enumerate() {
        for (text, colour) in [(&mut light, colours.0), (&mut dark, colours.1)] {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                ".c{number} {{ fill: {colour} }} .l{number} {{ stroke: {colour}; fill: none; stroke-width: 2 }} "
            );
        }
    }
    (light, dark)
}

/// Number of the class of the n-th.
pub(crate) fn class(number: usize) -> usize {
    number % COLOURS.len()
}

/// Text that may stand between tags.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
