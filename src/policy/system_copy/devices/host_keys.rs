//! New SSH host keys for a clone of a running system, whose own are hidden.
//!
//! Making an RSA key takes most of a second, which nobody but sshd should have to wait for: where
//! systemd is init, a unit of the WPAR's makes them right before sshd starts. Other inits find them
//! made: see [`crate::model::view::Conversion::host_keys`].

use wpar_mountd::error::FsError;

use super::super::draft::Draft;

const KEYGEN: &str = "usr/bin/ssh-keygen";
const REASON: &str = "makes SSH host keys of the WPAR's own before sshd starts";

/// The unit, as in `/etc/systemd/system`.
const UNIT: &str = "wpar-ssh-host-keys.service";
const UNIT_TEXT: &str = "\
# Written by wpar: this system was cloned from a running one, which keeps its SSH host keys.
[Unit]
Description=SSH host keys of this workload partition
Before=ssh.service ssh.socket sshd.service sshd.socket
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
";

/// What starts sshd, and so needs the unit.
const SERVERS: [&str; 4] = ["ssh.service", "ssh.socket", "sshd.service", "sshd.socket"];

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    if !draft.leads_somewhere("usr/sbin/sshd")? || !draft.leads_somewhere(KEYGEN)? {
        return Ok(());
    }
    // A system may have systemd and start something else.
    let init = draft.real("sbin/init")?;
    if !init.is_some_and(|(path, _)| path.ends_with("/systemd")) {
        draft.decisions().view.conversion.host_keys = true;
        return Ok(());
    }
    draft.write(
        &format!("etc/systemd/system/{UNIT}"),
        UNIT_TEXT.into(),
        REASON,
    )?;
    for server in SERVERS {
        let has = draft.leads_somewhere(&format!("usr/lib/systemd/system/{server}"))?
            || draft.leads_somewhere(&format!("lib/systemd/system/{server}"))?
            || draft.leads_somewhere(&format!("etc/systemd/system/{server}"))?;
        if has {
            let wants = format!("etc/systemd/system/{server}.wants/{UNIT}");
            draft.write_link(&wants, &format!("../{UNIT}"), REASON)?;
        }
    }
    Ok(())
}
