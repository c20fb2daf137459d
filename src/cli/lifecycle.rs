//! Watching, starting, stopping and entering: what several verbs do with the launcher.
//!
//! With `mend`, the only file of the commands that calls [`crate::launch`].

use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::connection;
use super::context::{Context, require_fuse};
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::interrupt::SIGNALS;
use super::progress::IndexProgress;
use super::script::{self, Occasion};
use super::{mend, oci, output};
use crate::launch::{
    self, Confinement, LaunchError, LaunchSpec, Launcher, Limits, Observation, Payload, RootSource,
    Session, StartEvent, Started, StopMode,
};
use crate::model::network::Mode;
use crate::model::privileges::Calls;
use crate::model::view::Conversion;
use crate::model::{Facts, Privileges, Resources, Source, View, WparName, WparRecord, WparState};
use crate::policy;
use crate::policy::mount_spec::{mount_spec, temporary_directories};
use crate::registry::{Lock, Registry};
use crate::snapshots::{self, RealGround};
use crate::source::host::{HostFacts, RunningHost};
use crate::source::image;
use crate::source::machine::machine;
use crate::sys::signals::SignalDescriptor;

/// How long a soft stop may take, by AIX.
pub(super) const SOFT_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a hard stop may take, by AIX.
pub(super) const HARD_TIMEOUT: Duration = Duration::from_secs(60);

/// What is seen of a WPAR now.
#[derive(Debug)]
pub(super) struct Sight {
    /// Its state.
    pub(super) state: WparState,
    /// What the state follows from.
    pub(super) observation: Observation,
}

/// Looks at a WPAR, and puts right what a supervisor that died has left, as far as that can be.
/// `ours` says that this command itself holds its lock.
pub(super) fn look(registry: &Registry, record: &WparRecord, ours: bool) -> Sight {
    let sight = glance(registry, record, ours);
    if mend::mend(registry, record, &sight, ours) {
        glance(registry, record, ours)
    } else {
        sight
    }
}

/// Looks at a WPAR, and only that.
pub(super) fn glance(registry: &Registry, record: &WparRecord, ours: bool) -> Sight {
    let name = &record.name;
    // What an earlier boot of the host wrote is not even read.
    let mut observation = if registry.is_this_boot() {
        launch::observe(&registry.layout().run_dir(name))
    } else {
        Observation::default()
    };
    // Also without a run directory, whose removal unmounts nothing.
    observation.mounted |= is_mount_point(&record.directory);
    let facts = Facts {
        operation: !ours && registry.is_locked(name),
        supervisor_alive: observation.supervisor.is_some(),
        init_alive: observation.init.is_some(),
        mounted: observation.mounted,
        populated: observation.populated,
        stopping: observation.stopping,
        frozen: observation.frozen,
        maintenance: observation.maintenance,
        leftovers: !observation.leftovers.is_empty(),
    };
    Sight {
        state: WparState::derive(&facts),
        observation,
    }
}

fn is_mount_point(path: &Path) -> bool {
    RunningHost::read().is_ok_and(|host| host.mounts().iter().any(|mount| mount.point == path))
}

/// The record of a WPAR that must exist.
pub(super) fn record(registry: &Registry, name: &WparName) -> CliResult<WparRecord> {
    registry
        .load(name)?
        .ok_or_else(|| CliError::no_such_wpar(name))
}

/// Starts a defined WPAR, whose lock is held.
pub(super) fn start(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    payload: Payload,
    verbose: bool,
) -> CliResult<Started> {
    let name = &record.name;
    match look(registry, record, true).state {
        WparState::Defined => {}
        WparState::Active => {
            return Err(CliError::wrong_state(
                name,
                WparState::Active,
                format!("log in with 'clogin {name}', or restart it with 'rebootwpar {name}'"),
            ));
        }
        state @ WparState::Broken => return Err(broken(name, state)),
        state @ WparState::Frozen => {
            let hint = format!("let it go on with 'wpar resume {name}'");
            return Err(CliError::wrong_state(name, state, hint));
        }
        state @ WparState::Loaded => {
            let hint = format!("end its maintenance with 'stopwpar {name}' first");
            return Err(CliError::wrong_state(name, state, hint));
        }
        state => {
            return Err(CliError::wrong_state(
                name,
                state,
                "wait until it has stopped, or stop it with 'stopwpar -F'",
            ));
        }
    }
    require_fuse()?;
    prepare_directory(record)?;
    let spec = launch_spec(context, registry, record, payload)?;
    context.interrupts.check()?;
    let mut progress = |event| {
        if verbose || matches!(event, StartEvent::Trouble(_)) {
            report(context, &event);
        }
    };
    let unwanted = || context.interrupts.pending();
    let started = Launcher::default().start_unless(&spec, &mut progress, &unwanted);
    if let Err(error @ LaunchError::Lost(_)) = started {
        // Whoever should have undone the start is gone.
        return Err(match look(registry, record, true).state {
            WparState::Defined => named(name, error).hint("nothing of it is left; try again"),
            WparState::Broken => broken(name, WparState::Broken),
            _ => named(name, error).hint(format!(
                "it was started all the same, and is looked after; 'stopwpar {name}' stops it"
            )),
        });
    }
    if started.is_ok() && spec.conversion.is_some() {
        note_conversion(context, registry, name);
    }
    started.map_err(|error| match &spec.payload {
        Payload::Init | Payload::Maintenance => {
            let hint = format!("the console log is {}", spec.console_log.display());
            named(name, error).hint(hint)
        }
        Payload::Command { .. } => not_run(name, error),
    })
}

/// Runs the administrator's script of a WPAR that was started; if it fails, the start is undone.
pub(super) fn announce(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    started: Started,
) -> CliResult<Started> {
    match script::run(context, record, Occasion::Start, Some(started.pid())) {
        Ok(()) => Ok(started),
        Err(error) => {
            end(registry, record)?;
            Err(error.hint("the start is undone"))
        }
    }
}

/// Runs the administrator's script of a WPAR that is to be stopped. That it fails keeps nothing
/// from being stopped.
fn renounce(context: &Context, record: &WparRecord, sight: &Sight) {
    let runs = matches!(sight.state, WparState::Active);
    if runs && let Err(error) = script::run(context, record, Occasion::Stop, sight.observation.init)
    {
        context.note(format_args!("warning: {error}"));
    }
}

/// Keeps the signals that would end this process until the value is dropped.
fn hold_signals() -> CliResult<SignalDescriptor> {
    let all: Vec<_> = SIGNALS.into_iter().chain([libc::SIGQUIT]).collect();
    SignalDescriptor::new(&all)
        .map_err(|error| CliError::io("cannot take over the signals", &error))
}

/// A command in a WPAR was not run: the status tells why in the manner of shells.
fn not_run(name: &WparName, error: LaunchError) -> CliError {
    let exit = Exit::Command(error.exit_code());
    named(name, error).exit(exit)
}

/// Waits until the system in a WPAR that was started says that it is up.
pub(super) fn wait_ready(
    context: &Context,
    record: &WparRecord,
    started: &mut Started,
    verbose: bool,
) -> CliResult<()> {
    while !context.interrupts.pending() {
        let ready = started.wait_ready(Some(SIGNAL_CHECK), &mut |event| {
            if verbose {
                report(context, &event);
            }
        });
        if ready.map_err(|error| named(&record.name, error))? {
            break;
        }
    }
    Ok(())
}

fn report(context: &Context, event: &StartEvent) {
    match event {
        StartEvent::Mounted => context.note("mounted"),
        StartEvent::Executed { pid, kind } => {
            context.note(format_args!(
                "process 1 is {kind:?}, process {pid} of the host"
            ));
        }
        StartEvent::Status(text) => context.note(text),
        StartEvent::Ready => context.note("ready"),
        StartEvent::Trouble(text) => {
            context.note(format_args!("warning: {text}"));
        }
    }
}

/// What was done before the first start is not done again.
fn note_conversion(context: &Context, registry: &Registry, name: &WparName) {
    let noted = registry.view(name).and_then(|mut view| {
        view.conversion = Conversion::default();
        registry.store_view(name, &view)
    });
    if let Err(error) = noted {
        context.note(format_args!(
            "warning: the conversion is done, and will be once more at the next start: {error}"
        ));
    }
}

/// What is to be done before init, once.
fn conversion(
    registry: &Registry,
    record: &WparRecord,
    view: &View,
    payload: &Payload,
) -> Option<launch::Conversion> {
    if view.conversion.is_done() || *payload != Payload::Init {
        return None;
    }
    let of_running_system = matches!(record.source, Source::Host | Source::Fresh);
    let host_programs = registry.layout().convert_dir();
    Some(launch::Conversion {
        programs: view.conversion.programs,
        synchronization: view.conversion.synchronization,
        // The copy of the host has the host's among its own.
        host_programs: (!of_running_system && host_programs.is_dir()).then_some(host_programs),
        host_keys: view.conversion.host_keys,
        of_running_system,
    })
}

/// The base directory as a mount point: what a user put there must not be covered by the WPAR,
/// and what a user took away is made again.
fn prepare_directory(record: &WparRecord) -> CliResult<()> {
    let path = &record.directory;
    let shown = path.display();
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(
            CliError::new(format!("the base directory {shown} is not empty"))
                .hint("move away what is in it"),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o755).create(path).map_err(|error| {
                CliError::io(format!("cannot make the base directory {shown}"), &error)
            })
        }
        Err(error) => Err(CliError::io(
            format!("cannot read the base directory {shown}"),
            &error,
        )),
    }
}

fn launch_spec(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    payload: Payload,
) -> CliResult<LaunchSpec> {
    let layout = registry.layout();
    let name = &record.name;
    let mut progress = IndexProgress::new(context);
    let source = image::prepare_again(
        &layout.images_dir(),
        &record.source,
        record.name.as_str(),
        &mut progress,
    )?;
    let record = &WparRecord {
        source,
        ..record.clone()
    };
    let view = registry.view(name)?;
    if let Some(frozen) = &view.frozen {
        snapshots::attach(&RealGround, frozen)?;
    }
    let mount = mount_spec(record, &view, layout, &running_host()?)?;
    let conversion = conversion(registry, record, &view, &payload);
    Ok(LaunchSpec {
        name: name.to_string(),
        hostname: record.hostname.to_string(),
        machine_id: record.machine_id(),
        root: RootSource::Mount(mount),
        mount_point: record.directory.clone(),
        run_dir: layout.run_dir(name),
        console_log: layout.console_log(name),
        cgroup: layout.cgroup(name),
        ids: launch::IdRange {
            first: record.ids.first,
            count: record.ids.count,
        },
        payload,
        tmpfs: temporary_directories(&record.source),
        limits: limits_of(&record.resources)?,
        network: connection::plan(registry, record)?,
        host_network: record.network.mode() == Mode::Shared,
        own_addresses: connection::own_addresses(registry, record),
        // What a synchronized one reads is not what others of its source do.
        trail: view
            .generations
            .is_empty()
            .then(|| layout.trail(&record.source)),
        devices: record
            .devices
            .iter()
            .map(|name| name.below_dev().to_owned())
            .collect(),
        confinement: confinement(&record.privileges),
        conversion,
    })
}

/// What the resource controls of a WPAR mean on this host.
pub(super) fn limits_of(resources: &Resources) -> CliResult<Limits> {
    if resources.is_default() {
        return Ok(Limits::default());
    }
    let machine = machine().ok_or_else(|| {
        CliError::new("cannot tell the memory and the processors of this host")
            .hint("/proc/meminfo and /sys/devices/system/cpu/online must be readable")
    })?;
    policy::resources::limits(resources, &machine)
        .map_err(|error| CliError::new(error.to_string()).hint("change it with 'chwpar -R rset='"))
}

/// What privileges mean to the launcher.
fn confinement(privileges: &Privileges) -> Confinement {
    Confinement {
        withheld: privileges.withheld_capabilities(),
        refuse_mounts: !privileges.allows(Calls::Mount),
        allow_keys: privileges.allows(Calls::Keys),
        allow_uring: privileges.allows(Calls::Uring),
    }
}

/// How often a long request looks for a signal.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// Waits for a request to the WPAR's supervisor. A signal ends the waiting, not what was asked for.
fn await_supervisor(
    context: &Context,
    name: &WparName,
    request: impl FnOnce() -> Result<(), LaunchError> + Send + 'static,
) -> CliResult<Asked> {
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more if this command was interrupted.
        let _ = sender.send(request());
    });
    loop {
        match answer.recv_timeout(SIGNAL_CHECK) {
            Ok(Ok(())) => return Ok(Asked::Done),
            Ok(Err(LaunchError::Lost(_))) => return Ok(Asked::Lost),
            Ok(Err(error)) => return Err(not_stopped(name, error)),
            Err(mpsc::RecvTimeoutError::Timeout) => context.interrupts.check_saying(&format!(
                "interrupted; {name} goes on with what it was told"
            ))?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(CliError::new(format!("{name}: the request failed")));
            }
        }
    }
}

/// How an active WPAR is to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) mode: StopMode,
    /// How long it may take; `None` is for ever.
    pub(super) timeout: Option<Duration>,
    /// Whether it is to start again.
    pub(super) restart: bool,
}

/// Stops a WPAR, whose lock is held.
pub(super) fn stop(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    ending: Ending,
) -> CliResult<()> {
    let name = &record.name;
    let Ending {
        mode,
        timeout,
        restart,
    } = ending;
    let sight = look(registry, record, true);
    if !restart {
        renounce(context, record, &sight);
    }
    match sight.state {
        WparState::Defined => Err(CliError::new(format!("{name} is not active"))
            .hint(format!("start it with 'startwpar {name}'"))),
        WparState::Broken if mode == StopMode::Force && !restart => clean_up(registry, record),
        state @ WparState::Broken => Err(broken(name, state)),
        _ => {
            match mode {
                StopMode::Force => oci::remove_bundles(registry, name),
                _ => oci::require_no_bundle(registry, name)?,
            }
            let run_dir = registry.layout().run_dir(name);
            let asked = await_supervisor(context, name, move || {
                let ask = if restart {
                    launch::reboot
                } else {
                    launch::stop
                };
                ask(&run_dir, mode, timeout)
            });
            match asked {
                Ok(Asked::Done) => Ok(()),
                Ok(Asked::Lost) => after_loss(registry, record, restart),
                Err(error) => Err(error),
            }
        }
    }
}

/// What came of a request.
enum Asked {
    Done,
    /// The supervisor died over it.
    Lost,
}

/// The supervisor died while it stopped the WPAR: how that ended, as the kernel tells.
fn after_loss(registry: &Registry, record: &WparRecord, restart: bool) -> CliResult<()> {
    let name = &record.name;
    match look(registry, record, true).state {
        WparState::Defined if !restart => Ok(()),
        WparState::Defined => Err(CliError::new(format!(
            "{name}: its supervisor died before it could start it again"
        ))
        .hint(format!("start it with 'startwpar {name}'"))),
        WparState::Broken => Err(broken(name, WparState::Broken)),
        _ => Err(CliError::new(format!(
            "{name}: its supervisor died while it stopped it; another one goes on with that"
        ))
        .hint(format!(
            "see 'lswpar {name}'; 'stopwpar -F {name}' stops it by force"
        ))),
    }
}

fn not_stopped(name: &WparName, error: LaunchError) -> CliError {
    let hint = match error {
        LaunchError::Timeout(_) => {
            format!("look at it with 'clogin {name}', or use 'stopwpar -F {name}'")
        }
        LaunchError::Stuck(_) => {
            "it stays broken; find what holds its files, then 'rmwpar -F' it".to_owned()
        }
        _ => format!("'stopwpar -F {name}' stops it by force"),
    };
    named(name, error).hint(hint)
}

fn broken(name: &WparName, state: WparState) -> CliError {
    CliError::wrong_state(
        name,
        state,
        format!(
            "clean up with 'stopwpar -F {name}', which keeps its files, or remove it with 'rmwpar -F {name}'"
        ),
    )
}

/// Removes what is left of a run.
pub(super) fn clean_up(registry: &Registry, record: &WparRecord) -> CliResult<()> {
    clean_up_at(registry, &record.name, &record.directory)
}

/// Removes what is left of a run of the WPAR with this name and base directory.
pub(super) fn clean_up_at(registry: &Registry, name: &WparName, directory: &Path) -> CliResult<()> {
    let layout = registry.layout();
    // The list of them goes with the run directory.
    oci::remove_bundles(registry, name);
    launch::clean_up(&layout.run_dir(name), directory, &layout.cgroup(name))
        .map(|_removed| ())
        .map_err(|error| named(name, error))
}

/// Runs a command or a login shell in an active WPAR.
pub(super) fn enter(
    registry: &Registry,
    record: &WparRecord,
    session: &Session,
) -> CliResult<Exit> {
    let name = &record.name;
    let sight = look(registry, record, false);
    let closed = matches!(sight.state, WparState::Broken | WparState::Frozen);
    if sight.observation.init.is_none() || closed {
        let hint = match sight.state {
            WparState::Broken => format!("clean up with 'stopwpar -F {name}'"),
            WparState::Frozen => format!("let it go on with 'wpar resume {name}'"),
            WparState::Transitional => {
                "try again when the command that works on it has finished".to_owned()
            }
            _ => format!("start it with 'startwpar {name}'"),
        };
        return Err(CliError::wrong_state(name, sight.state, hint));
    }
    // Held until the command takes them, so that none ends this process with the command left
    // behind.
    let _held = hold_signals()?;
    match launch::enter(&registry.layout().run_dir(name), session) {
        Ok(status) => Ok(Exit::Command(status.code())),
        Err(error) => Err(not_run(name, error)),
    }
}

/// Starts a WPAR for one command and waits for it. The lock is held until the command runs, so
/// that others can stop the WPAR meanwhile.
pub(super) fn run_command(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    payload: Payload,
    verbose: bool,
    lock: Lock,
) -> CliResult<Exit> {
    let started = start(context, registry, record, payload, verbose)?;
    drop(lock);
    // Held from before the last look at them, so that none is lost: from here on the signals are
    // the command's.
    let _held = hold_signals()?;
    context.interrupts.check()?;
    match started.wait() {
        Ok(status) => Ok(Exit::Command(status.code())),
        Err(error) => Err(not_run(&record.name, error)),
    }
}

pub(super) fn named(name: &WparName, error: LaunchError) -> CliError {
    let error = CliError::from(error);
    CliError {
        message: format!("{name}: {}", error.message),
        ..error
    }
}

/// Ends a WPAR at once, whatever state it is in.
pub(super) fn end(registry: &Registry, record: &WparRecord) -> CliResult<()> {
    oci::remove_bundles(registry, &record.name);
    match look(registry, record, true).state {
        WparState::Defined => Ok(()),
        WparState::Broken => clean_up(registry, record),
        _ => {
            let run_dir = registry.layout().run_dir(&record.name);
            match launch::stop(&run_dir, StopMode::Force, Some(HARD_TIMEOUT)) {
                Ok(()) | Err(LaunchError::NotActive) => Ok(()),
                // The supervisor may have died in between: then there is something to clean up.
                Err(error) => {
                    clean_up(registry, record).map_err(|_| not_stopped(&record.name, error))
                }
            }
        }
    }
}

/// Says that a WPAR is running, for people.
pub(super) fn say_active(name: &WparName) {
    output::say(format_args!("{name} is active"));
}

/// Says that a WPAR is running, and to those who look on how long it took since `begun`.
pub(super) fn say_active_since(name: &WparName, begun: Instant, verbose: bool) {
    let took = begun.elapsed();
    if verbose || io::stdout().is_terminal() {
        output::say(format_args!(
            "{name} is active ({})",
            output::duration(took)
        ));
    } else {
        say_active(name);
    }
}
