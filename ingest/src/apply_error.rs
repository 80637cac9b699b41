//! Why a try to apply a batch failed, and what follows.

use read_model::WriteError;

use crate::confirm::ConfirmError;

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("confirmation failed")]
    Confirm(#[source] ConfirmError),
    #[error("the batch would lock too many lanes or entries at once")]
    LocksTooMuch,
}

impl ApplyError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> Remedy {
        let (ApplyError::Write(WriteError::Sql(error)) | ApplyError::Confirm(ConfirmError::Sql(error))) = self else {
            // A stored row cannot be read, or the journal objects: waiting does not help.
            return Remedy::Less { refused: true };
        };
        match error {
            sql::Error::CommitUnknown(_) => Remedy::Same,
            sql::Error::Retryable { .. } | sql::Error::Unavailable(_) => Remedy::Less { refused: false },
            _ => Remedy::Less { refused: true },
        }
    }

    /// The whole chain, for a person.
    pub(crate) fn explained(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same batch again: whether it was committed is not known.
    Same,
    /// Fewer records: they may have been too many for the store or for the locks of others. One that was `refused` by itself
    /// again and again is never taken.
    Less { refused: bool },
}

impl From<sql::Error> for ApplyError {
    fn from(error: sql::Error) -> Self {
        ApplyError::Write(WriteError::Sql(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unknown_commit_is_tried_again_whole() {
        let sql = |error: sql::Error| ApplyError::from(error).remedy();
        assert_eq!(sql(sql::Error::CommitUnknown(String::new())), Remedy::Same);
        assert_eq!(sql(sql::Error::Retryable { code: 1205 }), Remedy::Less { refused: false });
        assert_eq!(sql(sql::Error::Unavailable(String::new())), Remedy::Less { refused: false });
        let told = ApplyError::Confirm(ConfirmError::Other("a row of the journal".into()));
        assert_eq!(told.remedy(), Remedy::Less { refused: true });
    }
}
