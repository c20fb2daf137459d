//! `lswpar`: what WPARs there are and how they are.

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lender;
use super::output;
use super::verbs::{Arguments, Verb, Words};
use crate::model::{WparName, WparState};
use crate::registry::Registry;

mod fields;
mod filesets;
mod json;
mod paragraphs;
mod row;
mod table;
mod views;

use fields::Field;
use row::Row;
use views::View;

pub(super) const VERB: Verb = Verb::aix::<ListArguments>(Words {
    name: "lswpar",
    about: "List workload partitions",
    description: "Lists all WPARs, or those that are named, as a table, as lines for programs \
        (-c, -d, --json) or as paragraphs (-L, -G). With -N, -I, -M, -D, -X or -b, what each WPAR has \
        of network addresses, routes, file systems, devices, kernel extensions and boot disks; \
        with -R, -S or -T its resource controls, security settings and copy controls. States: D defined, A active, L loaded, F \
        frozen, P paused, T transitional (an operation is in progress), B broken (clean up with \
        'stopwpar -F' or 'rmwpar -F'). The state is what the kernel shows now, also after a \
        crash. If there are none, nothing is printed.\n\n\
        Of a copy of the running system, -L tells its consistency: exact (made of snapshots), live, \
        hydrating N%, or file-consistent; see 'wpar hydrate'.\n\n\
        --filesets lists what became of private filesets when the WPAR was made: hidden (neither \
        files nor record are visible), ghost (no files; an empty record is left, because a \
        metapackage asks for it) or kept (visible, because something visible needs it).",
    examples: &[
        ("List all", "lswpar"),
        (
            "Names of those that run, for a script",
            "lswpar -q -s A -a name",
        ),
        ("General properties, colon-separated", "lswpar -cG wpar1"),
        ("File systems of all, colon-separated", "lswpar -cM"),
        ("Everything about one", "lswpar -L wpar1"),
        ("For programs", "lswpar --json"),
        (
            "Which filesets are not visible in one, and why",
            "lswpar --filesets wpar1",
        ),
    ],
    compatibility: "Tables, -c, -d, -q, -a, -s, -t and the views have AIX's form; views of what there is none of print \
        nothing. The fields source, created, network, publish, size, inodes, level, synchronized and consistency, --filesets and --json, are additions. Type L \
        is a versioned WPAR. -T shows the copy controls.",
});

/// Arguments of `lswpar`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    /// Names of WPARs [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Lines with the fields separated by colons, after a line of their names that begins with #
    #[arg(short = 'c', long = "colon", conflicts_with = "delimiter")]
    colon: bool,

    /// As -c, with this text between the fields
    #[arg(short = 'd', long = "delimiter", value_name = "TEXT")]
    delimiter: Option<String>,

    /// No heading
    #[arg(short = 'q', long = "quiet")]
    quiet: bool,

    /// Fields to show, separated by commas
    #[arg(
        short = 'a',
        long = "fields",
        value_name = "FIELD",
        value_delimiter = ','
    )]
    fields: Vec<String>,

    /// Everything, in paragraphs
    #[arg(short = 'L', long = "long", group = "view", conflicts_with_all = ["colon", "delimiter", "fields"])]
    long: bool,

    /// General properties: in paragraphs, or as lines with -c or -d
    #[arg(
        short = 'G',
        long = "general",
        group = "view",
        conflicts_with = "fields"
    )]
    general: bool,

    /// Network addresses
    #[arg(short = 'N', long = "network", group = "view")]
    network: bool,

    /// Routes
    #[arg(short = 'I', long = "routes", group = "view")]
    routes: bool,

    /// File systems
    #[arg(short = 'M', long = "file-systems", group = "view")]
    file_systems: bool,

    /// Devices
    #[arg(short = 'D', long = "devices", group = "view")]
    devices: bool,

    /// Kernel extensions
    #[arg(short = 'X', long = "kernel-extensions", group = "view")]
    extensions: bool,

    /// Disks to start from
    #[arg(short = 'b', long = "boot-sets", group = "view")]
    boot_sets: bool,

    /// Resource controls: in paragraphs, or as lines with -c or -d
    #[arg(short = 'R', long = "resources", group = "view")]
    resources: bool,

    /// Security settings, likewise
    #[arg(short = 'S', long = "security", group = "view")]
    security: bool,

    /// Copy controls, likewise
    #[arg(short = 'T', long = "copy-controls", group = "view")]
    controls: bool,

    /// Only those in one of these states: letters, separated by commas
    #[arg(
        short = 's',
        long = "state",
        value_name = "STATE",
        value_delimiter = ','
    )]
    states: Vec<String>,

    /// Only those of one of these types: S, L or A, separated by commas
    #[arg(short = 't', long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,

    /// Private filesets: those that are hidden, and those that are kept because something needs them
    #[arg(long = "filesets", conflicts_with_all = ["colon", "delimiter", "fields", "view"])]
    filesets: bool,

    /// Everything, as JSON: a list of objects
    #[arg(long = "json", conflicts_with_all = ["colon", "delimiter", "fields", "view"])]
    json: bool,
}

/// What is to be shown.
enum Wanted {
    Fields(Vec<&'static Field>),
    View {
        view: &'static View,
        places: Vec<usize>,
        paragraphs: bool,
    },
}

impl Arguments for ListArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let wanted = self.wanted()?;
        let states = self.states()?;
        let types = self.types()?;
        let names = self
            .names
            .iter()
            .map(|name| parse_name(name))
            .collect::<CliResult<Vec<_>>>()?;
        // An unfinished removal of an earlier command is none of the list's business, but if this
        // user may finish it, it is done.
        let registry =
            match rustix::process::geteuid().is_root() && context.layout.state_dir().exists() {
                true => context.registry()?,
                false => context.registry_to_read(),
            };
        let (mut rows, mut exit) = gather(context, &registry, names)?;
        rows.retain(|row| states.is_empty() || states.contains(&row.state));
        rows.retain(|row| types.is_empty() || row.kind().is_some_and(|kind| types.contains(&kind)));
        let text = match self.filesets {
            true => self.render_filesets(&registry, &rows)?,
            false => self.render(&wanted, &rows)?,
        };
        output::print(&text)?;
        for record in lender::behind(
            &context.layout,
            rows.iter().filter_map(|row| row.record.as_ref()),
        ) {
            context.note(lender::behind_note(record));
        }
        if rows.iter().any(|row| row.record.is_none()) {
            exit = Exit::Failure;
        }
        Ok(exit)
    }
}

impl ListArguments {
    /// The view that is asked for, and whether it is one of paragraphs.
    fn view(&self) -> Option<(&'static View, bool)> {
        [
            (self.network, &views::NETWORK, false),
            (self.routes, &views::ROUTES, false),
            (self.file_systems, &views::FILE_SYSTEMS, false),
            (self.devices, &views::DEVICE_EXPORTS, false),
            (self.extensions, &views::KERNEL_EXTENSIONS, false),
            (self.boot_sets, &views::BOOT_SETS, false),
            (self.resources, &views::RESOURCES, true),
            (self.security, &views::SECURITY, true),
            (self.controls, &views::COPY_CONTROLS, true),
        ]
        .into_iter()
        .find_map(|(asked, view, paragraphs)| asked.then_some((view, paragraphs)))
    }

    /// What is to be shown. Fields that do not exist are found before anything is looked at.
    fn wanted(&self) -> CliResult<Wanted> {
        match self.view() {
            None => Ok(Wanted::Fields(self.fields()?)),
            Some((view, paragraphs)) => Ok(Wanted::View {
                view,
                places: view.places(&self.fields)?,
                // Single fields are columns in any case.
                paragraphs: paragraphs && self.fields.is_empty(),
            }),
        }
    }

    fn render(&self, wanted: &Wanted, rows: &[Row]) -> CliResult<String> {
        let delimiter = if self.colon {
            Some(":")
        } else {
            self.delimiter.as_deref()
        };
        let heading = !self.quiet;
        let fields = match wanted {
            Wanted::View {
                view,
                paragraphs: true,
                ..
            } if delimiter.is_none() => {
                return Ok(paragraphs::of_view(view, rows, heading));
            }
            Wanted::View { view, places, .. } => {
                let cells = view.cells(rows, places);
                return Ok(match delimiter {
                    Some(text) => table::delimited_of(&view.names(places), &cells, text, heading),
                    None => table::columns_of(&view.headings(places), &cells, heading),
                });
            }
            Wanted::Fields(fields) => fields,
        };
        if self.json {
            json::render(rows)
        } else if let Some(delimiter) = delimiter {
            Ok(table::delimited(fields, rows, delimiter, !self.quiet))
        } else if self.long {
            Ok(paragraphs::all(rows, !self.quiet))
        } else if self.general {
            Ok(paragraphs::general(rows, !self.quiet))
        } else {
            Ok(table::columns(fields, rows, !self.quiet))
        }
    }

    fn render_filesets(&self, registry: &Registry, rows: &[Row]) -> CliResult<String> {
        let view =
            |row: &Row| -> CliResult<_> { Ok((row.name.clone(), registry.view(&row.name)?)) };
        let views = rows.iter().map(view).collect::<CliResult<Vec<_>>>()?;
        match self.json {
            true => filesets::json(&views),
            false => Ok(filesets::table(&views, !self.quiet)),
        }
    }

    fn fields(&self) -> CliResult<Vec<&'static Field>> {
        if self.general {
            return Ok(fields::general());
        }
        if self.fields.is_empty() {
            return Ok(fields::default());
        }
        self.fields
            .iter()
            .map(|name| fields::find(name.trim()))
            .collect()
    }

    fn states(&self) -> CliResult<Vec<WparState>> {
        let parse = |text: &String| {
            text.trim()
                .parse()
                .map_err(|error: crate::model::state::UnknownState| {
                    CliError::usage(error.to_string())
                })
        };
        self.states.iter().map(parse).collect()
    }

    fn types(&self) -> CliResult<Vec<char>> {
        let parse = |text: &String| match text.trim() {
            "S" | "s" => Ok('S'),
            "A" | "a" => Ok('A'),
            "L" | "l" => Ok('L'),
            other => Err(CliError::usage(format!(
                "'{other}' is no type; there are S, A and L"
            ))),
        };
        self.types.iter().map(parse).collect()
    }
}

/// The rows of these WPARs, or of all. Names that do not exist are complained about, and the rest
/// is listed all the same.
fn gather(
    context: &Context,
    registry: &Registry,
    names: Vec<WparName>,
) -> CliResult<(Vec<Row>, Exit)> {
    let asked = !names.is_empty();
    let names = if asked { names } else { registry.names()? };
    let mut rows = Vec::with_capacity(names.len());
    let mut exit = Exit::Success;
    for name in names {
        match registry.load(&name) {
            Ok(Some(record)) => rows.push(Row::new(registry, record)),
            // Removed since the names were read.
            Ok(None) if !asked => {}
            Ok(None) => {
                context.note(CliError::no_such_wpar(&name));
                exit = Exit::Failure;
            }
            Err(error) => {
                context.note(CliError::from(error));
                rows.push(Row::unreadable(name));
            }
        }
    }
    Ok((rows, exit))
}
