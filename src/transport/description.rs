use std::fmt;

use crate::vocab::Setting;

/// The layers of a transport, from the outside in, with the settings in force. It prints itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    layers: Vec<(&'static str, Vec<Setting>)>,
}

impl Description {
    pub(super) const fn new(layers: Vec<(&'static str, Vec<Setting>)>) -> Self {
        Self { layers }
    }

    /// Each layer's name and settings, from the outside in.
    pub fn layers(&self) -> impl Iterator<Item = (&'static str, &[Setting])> {
        self.layers.iter().map(|(name, settings)| (*name, settings.as_slice()))
    }
}

/// A layer a line, its settings indented below it.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, settings) in self.layers() {
            writeln!(f, "{name}")?;
            for setting in settings {
                writeln!(f, "    {setting}")?;
            }
        }
        Ok(())
    }
}
