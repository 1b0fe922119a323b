//! The scripts by which shells complete the program when it is called directly: each asks `kubectl-fwd __complete`.

use crate::error::Fatal;

/// What `completion` was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionAction {
    /// To print this script.
    Print(&'static str),
    /// To make the link by which kubectl asks.
    Install,
    /// To remove it.
    Uninstall,
}

/// The scripts, by their shells.
pub const SCRIPTS: [(&str, &str); 4] = [
    ("bash", include_str!("scripts/kubectl-fwd.bash")),
    ("zsh", include_str!("scripts/_kubectl-fwd")),
    ("fish", include_str!("scripts/kubectl-fwd.fish")),
    ("powershell", include_str!("scripts/kubectl-fwd.ps1")),
];

/// Reads the word behind `completion`.
pub fn action(word: &str) -> Result<CompletionAction, Fatal> {
    match word {
        "install" => Ok(CompletionAction::Install),
        "uninstall" => Ok(CompletionAction::Uninstall),
        _ => {
            let script = SCRIPTS.iter().find(|(shell, _)| *shell == word);
            script.map(|(_, script)| CompletionAction::Print(script)).ok_or_else(|| {
                Fatal::new("fwd::usage::bad_completion", format!("completion for '{word}' is not known"))
                    .help("write bash, zsh, fish or powershell for a script, or install for 'kubectl fwd'")
            })
        }
    }
}
