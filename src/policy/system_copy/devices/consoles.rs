//! Terminals of the source's machine: a WPAR has one console, and no others to log in at.

use wpar_mountd::error::FsError;

use super::super::draft::Draft;
use super::TAKEN_OUT;

/// Terminals at which root of a WPAR may log in, for login programs that keep a list.
const SECURE: [&str; 2] = ["console", "pts/0"];

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    if let Some(old) = draft.text("etc/inittab")?
        && let Some(new) = one_console(&String::from_utf8_lossy(&old))
    {
        draft.write(
            "etc/inittab",
            new.into_bytes(),
            "consoles of the source's machine",
        )?;
    }
    if let Some(old) = draft.text("etc/securetty")?
        && let Some(new) = with_secure(&String::from_utf8_lossy(&old))
    {
        draft.write(
            "etc/securetty",
            new.into_bytes(),
            "root may log in at the console",
        )?;
    }
    Ok(())
}

/// `inittab` with a getty on the console in place of those on terminals that do not exist; `None` if
/// it has none on such.
fn one_console(text: &str) -> Option<String> {
    let mut new = String::with_capacity(text.len() + 256);
    let mut has_console = text.lines().any(|line| {
        !line.trim_start().starts_with('#') && line.contains("getty") && line.contains("console")
    });
    let mut changed = false;
    for line in text.split_inclusive('\n') {
        let fields: Vec<&str> = line.trim_end().splitn(4, ':').collect();
        let [id, levels, action, process] = fields[..] else {
            new.push_str(line);
            continue;
        };
        let starts = matches!(action, "respawn" | "askfirst" | "respawnlate" | "ondemand");
        let terminal = std::iter::once(id)
            .chain(process.split_whitespace())
            .find(|word| is_terminal(word));
        let (true, Some(terminal)) = (starts && !id.trim_start().starts_with('#'), terminal) else {
            new.push_str(line);
            continue;
        };
        changed = true;
        if !has_console && process.contains("getty") {
            has_console = true;
            let id = if is_terminal(id) { "console" } else { "co" };
            let process: Vec<&str> = process
                .split_whitespace()
                .map(|word| if word == terminal { "console" } else { word })
                .collect();
            new.push_str(&format!("{id}:{levels}:{action}:{}\n", process.join(" ")));
        }
        new.push_str(TAKEN_OUT);
        new.push_str(line);
    }
    changed.then_some(new)
}

/// Whether a word names a terminal of a machine, virtual or serial.
fn is_terminal(word: &str) -> bool {
    let word = word.strip_prefix("/dev/").unwrap_or(word);
    let number = [
        "ttyS", "ttyAMA", "ttyUSB", "ttysclp", "hvc", "hvsi", "xvc", "tty",
    ]
    .iter()
    .find_map(|prefix| word.strip_prefix(prefix));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn with_secure(text: &str) -> Option<String> {
    let missing: Vec<&str> = SECURE
        .into_iter()
        .filter(|name| !text.lines().any(|line| line.trim() == *name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut new = text.to_owned();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    for name in missing {
        new.push_str(name);
        new.push('\n');
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gettys_of_system_v_become_one_on_the_console() {
        let text = "id:2:initdefault:\n\
            ~~:S:wait:/sbin/sulogin --force\n\
            1:2345:respawn:/sbin/getty --noclear 38400 tty1 \n\
            2:23:respawn:/sbin/getty 38400 tty2\n\
            #T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n\
            pf::powerwait:/etc/init.d/powerfail start\n";
        assert_eq!(
            one_console(text).unwrap(),
            "id:2:initdefault:\n\
            ~~:S:wait:/sbin/sulogin --force\n\
            co:2345:respawn:/sbin/getty --noclear 38400 console\n\
            #wpar# 1:2345:respawn:/sbin/getty --noclear 38400 tty1 \n\
            #wpar# 2:23:respawn:/sbin/getty 38400 tty2\n\
            #T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n\
            pf::powerwait:/etc/init.d/powerfail start\n"
        );
    }

    #[test]
    fn those_of_busybox_too() {
        let text = "::sysinit:/sbin/openrc sysinit\n\
            tty1::respawn:/sbin/getty 38400 tty1\n\
            tty2::askfirst:/bin/sh\n\
            ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100";
        assert_eq!(
            one_console(text).unwrap(),
            "::sysinit:/sbin/openrc sysinit\n\
            console::respawn:/sbin/getty 38400 console\n\
            #wpar# tty1::respawn:/sbin/getty 38400 tty1\n\
            #wpar# tty2::askfirst:/bin/sh\n\
            #wpar# ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100"
        );
        let ours = "::respawn:/sbin/getty -L 0 console vt100\n::shutdown:/etc/init.d/rcK\n";
        assert_eq!(one_console(ours), None);
    }

    #[test]
    fn secure_terminals_are_added_once() {
        let new = with_secure("tty1\nconsole").unwrap();
        assert_eq!(new, "tty1\nconsole\npts/0\n");
        assert_eq!(with_secure(&new), None);
    }
}
