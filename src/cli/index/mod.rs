//! `wpar index`: makes the index of an image, before it is needed or while the image is made.

use std::path::{Path, PathBuf};
use std::time::Instant;

use wpar_mountd::lower::tar::{IndexFault, TarIndex, index_stream};

use crate::cli::context::Context;
use crate::cli::error::{CliError, CliResult};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::prepared::Prepared;
use crate::cli::progress::IndexProgress;
use crate::cli::verbs::{Arguments, Verb, Words};
use crate::source::image::Purpose;

mod input;
mod told;

use input::Input;
use told::{Told, paragraph, told};

pub(in crate::cli) const VERB: Verb = Verb::own::<IndexArguments>(Words {
    name: "index",
    about: "Make or check the index of a backup image",
    description: "Makes the index of each image, if it has none that is right, and tells what is in it: \
        so that the first mkwpar or 'wpar mount' of it needs no time. It lies beside the image \
        (IMAGE.wparidx), or in the tool's cache if that directory cannot be written. With -c all of an \
        index is checked, and one that is damaged is made again.\n\n\
        With '-' for the image, a tar stream is read from standard input, written to the file \
        of -o, and indexed on its way: when the backup ends, it can be started. If the \
        name of that file ends in .zst, it is packed into zstd frames with a seek table, which every \
        zstd reads. It is for its owner only (mode 0600), and appears under its name only when it \
        is complete.",
    examples: &[
        (
            "Make the index of a backup",
            "wpar index /backup/web1.tar.zst",
        ),
        (
            "Make a backup and its index in one pass",
            "tar --one-file-system --numeric-owner --xattrs --xattrs-include='*' --acls -cpf - -C / . | \
             wpar index - -o /backup/web1.tar.zst",
        ),
        (
            "Check the indexes of all backups",
            "wpar index -c /backup/*.tar",
        ),
    ],
    compatibility: "An addition. A mksysb of AIX has no index.",
});

/// Arguments of `wpar index`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct IndexArguments {
    /// The images; '-' is a tar stream on standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Where to write the stream of '-'
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write over a file that exists
    #[arg(short = 'f', long = "force", requires = "output")]
    force: bool,

    /// Check all of each index
    #[arg(short = 'c', long = "check", conflicts_with = "output")]
    check: bool,

    /// Print it in JSON
    #[arg(short = 'j', long = "json")]
    json: bool,
}

impl Arguments for IndexArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context
            .interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        let told = match (self.images.as_slice(), &self.output) {
            ([image], Some(output)) if image == Path::new("-") => {
                vec![self.make(context, output)?]
            }
            (_, Some(_)) => {
                return Err(CliError::usage("-o is for the stream of '-' alone")
                    .hint("use 'tar ... | wpar index - -o FILE'"));
            }
            (images, None) if images.iter().any(|image| image == Path::new("-")) => {
                return Err(CliError::usage("'-' needs a file to write to")
                    .hint("use 'tar ... | wpar index - -o FILE'"));
            }
            (images, None) => return self.all(context, images),
        };
        self.tell(&told)?;
        Ok(Exit::Success)
    }
}

impl IndexArguments {
    /// Each image, also if another one fails.
    fn all(&self, context: &Context, images: &[PathBuf]) -> CliResult<Exit> {
        let mut told = Vec::new();
        let mut exit = Exit::Success;
        for image in images {
            match self.one(context, image) {
                Ok(one) => told.extend(one),
                Err(error) if matches!(error.exit, Exit::Signal(_)) => return Err(error),
                Err(error) => {
                    output::complain(context.verb, &error);
                    exit = error.exit;
                }
            }
        }
        self.tell(&told)?;
        Ok(exit)
    }

    fn one(&self, context: &Context, image: &Path) -> CliResult<Option<Told>> {
        let begun = Instant::now();
        let prepare = || Prepared::for_purpose(context, image, Purpose::Look);
        let mut report = prepare()?.into_report();
        if let (true, Some(first)) = (self.check, &report)
            && let Err(fault) = verify(&first.path)?
        {
            context.note(format_args!(
                "{}: the index {fault}; it is made again",
                first.path.display()
            ));
            std::fs::remove_file(&first.path).map_err(|error| {
                CliError::io(format!("cannot remove {}", first.path.display()), &error)
            })?;
            report = prepare()?.into_report();
        }
        match report {
            Some(report) => Ok(Some(told(image, report, self.check, begun.elapsed()))),
            None => {
                context.note(format_args!("{} needs no index", image.display()));
                Ok(None)
            }
        }
    }

    /// The stream on standard input, to the file `output`.
    fn make(&self, context: &Context, output: &Path) -> CliResult<Told> {
        let begun = Instant::now();
        if !self.force && output.symlink_metadata().is_ok() {
            return Err(
                CliError::new(format!("{} exists already", output.display())).hint(
                    "use -f to replace it; WPARs that were made from it cannot be started then",
                ),
            );
        }
        let packed = output
            .extension()
            .is_some_and(|extension| extension == "zst");
        let mut progress = IndexProgress::new(context);
        let mut input = Input { context };
        let cache = context.index_cache()?;
        let made = index_stream(&mut input, output, packed, &cache, &mut progress);
        context.interrupts.check()?;
        let report = made.map_err(|error| CliError::new(error.to_string()))?;
        Ok(told(output, report, false, begun.elapsed()))
    }

    fn tell(&self, told: &[Told]) -> CliResult<()> {
        if self.json {
            let mut text = serde_json::to_string_pretty(told)
                .map_err(|error| CliError::new(error.to_string()))?;
            text.push('\n');
            return output::print(&text);
        }
        let paragraphs: Vec<String> = told.iter().map(paragraph).collect();
        output::print(&paragraphs.join("\n"))
    }
}

/// Reads all of an index.
fn verify(index: &Path) -> CliResult<Result<(), IndexFault>> {
    TarIndex::open(index)
        .map(|index| index.verify())
        .map_err(|error| CliError::new(error.to_string()))
}
