//! What people order: about entries, lanes and instances, and four eyes.

use clap::{Args, Subcommand, ValueEnum};

/// `locum queue …`
#[derive(Subcommand)]
pub enum QueueCommand {
    /// Entries without an outcome, oldest first; others with --state or --all.
    List {
        /// One or more, separated by commas: queued, submitting, outcome_unknown, parked, posted, confirmed, refused,
        /// declined, cancelled, written_off.
        #[arg(long)]
        state: Option<String>,
        /// Entries in every state, those that ended long ago first.
        #[arg(long, conflicts_with = "state")]
        all: bool,
        /// Only entries that touch this account.
        #[arg(long)]
        account: Option<String>,
        /// Go on after this entry.
        #[arg(long)]
        after: Option<String>,
        /// Most entries shown, 1,000 at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// One entry with everything that happened to it.
    Show {
        /// Its id.
        id: String,
    },
    /// Cancel an entry that is still queued.
    Cancel {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Send a parked entry again, because the core's own books show that it does not have it.
    Retry {
        /// Its id.
        id: String,
        /// How you know; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// End a parked entry without a posting: its channel reads FAILED, and the money it held is free.
    ///
    /// Needs a proof, or the name of who bears the risk. Refused where the books show a leg of it.
    WriteOff {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
        /// On what grounds.
        #[command(flatten)]
        grounds: Grounds,
    },
    /// Send a parked entry again although nothing proves that the core does not have it.
    ///
    /// It may be posted twice. Needs --absence-proof, or --risk-accepted-by.
    Force {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
        /// On what grounds.
        #[command(flatten)]
        grounds: Grounds,
    },
    /// Take an entry for posted that the core's books show: it is never sent, its hold ends with the balance.
    ///
    /// Where the change data show not all of its legs, --posted-proof says how you know. For a posted entry whose change events
    /// do not come, this confirms it; without --debit-posting-no its hold ends with the balance served now.
    Adopt {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
        /// What shows that it is posted.
        #[arg(long)]
        posted_proof: Option<String>,
        /// The debited account's own number of the posting: the hold ends exactly with it.
        #[arg(long)]
        debit_posting_no: Option<i64>,
    },
    /// Take off an entry the core's rows that are not its own: a queued one goes on to be sent.
    Free {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
        /// What shows that the row is not this entry's: a wrong reference, a reversal in the core.
        #[arg(long)]
        proof: String,
    },
    /// Take an entry for posted that somebody keyed into the core by hand: it is never sent.
    Link {
        /// Its id.
        id: String,
        /// The core's own number of what was keyed, as `transaction_id` in the account's transactions. Once, or for each leg.
        #[arg(long = "posting", required = true)]
        postings: Vec<String>,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Reverse a posted entry. No connector declares how yet, so the answer is no.
    Compensate {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Entries to standard output, all of them or of some states: one JSON object a line, or CSV. Archived ones are in their files.
    Export {
        /// One or more states, separated by commas.
        #[arg(long)]
        state: Option<String>,
        /// What waits, with the customers' texts: all that a bank needs to key it by hand.
        #[arg(long, conflicts_with = "state")]
        waiting: bool,
        /// As which file.
        #[arg(long, value_enum, default_value = "json")]
        format: ExportFormat,
    },
}

/// What an export looks like.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One object a line.
    Json,
    /// A table with a header, as spreadsheets read it.
    Csv,
}

/// What an order rests on.
#[derive(Args)]
pub struct Grounds {
    /// What shows that the core has it or that it was settled otherwise, and where that can be found.
    #[arg(long)]
    pub posted_proof: Option<String>,
    /// What shows that the core does not have it, and where that can be found.
    #[arg(long)]
    pub absence_proof: Option<String>,
    /// Who bears the loss if it turns out otherwise.
    #[arg(long)]
    pub risk_accepted_by: Option<String>,
}

/// `locum lane …`
#[derive(Subcommand)]
pub enum LaneCommand {
    /// Lanes that a contradiction stopped, and the entries that did it.
    List {
        /// Instead, lanes whose day lies in the future: their accounts' limits stay used until then.
        #[arg(long)]
        day_ahead: bool,
    },
    /// Let a stopped lane go on, because what stopped it is settled.
    Clear {
        /// Its account.
        account: String,
        /// What was compared and settled; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Take back a lane's day that a clock set far ahead has moved into the future.
    ///
    /// What the account has used of its limits stays used, and counts today; tomorrow is a new day.
    ResetDay {
        /// Its account.
        account: String,
        /// Which clock was wrong, and that it is right again; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}

/// `locum instance …`
#[derive(Subcommand)]
pub enum InstanceCommand {
    /// Every instance: its newest life, its last sign of life, the attempts it has not ended.
    List,
    /// Say that an instance will never send again: its open attempts end, and their outcomes are found out as usual.
    ///
    /// RISK: if it still lives, what it sends after this is posted a second time. So make sure first that its host is fenced.
    /// Refused until the process that is asked has watched it give no sign of life for half a minute: ask again then.
    DeclareGone {
        /// Its id.
        id: String,
        /// How its host was kept from sending.
        #[arg(long, value_parser = ["powered-off", "destroyed", "isolated", "process-dead"])]
        fenced: String,
        /// What shows that, and who saw it.
        #[arg(long)]
        proof: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
        /// Who bears the loss if it lives after all.
        #[arg(long)]
        risk_accepted_by: Option<String>,
    },
}

/// `locum approvals …`
#[derive(Subcommand)]
pub enum ApprovalsCommand {
    /// Orders that wait for a second person.
    List {
        /// Those of another state instead: approved, rejected, expired, void.
        #[arg(long, default_value = "pending")]
        state: String,
    },
    /// One order with all its grounds.
    Show {
        /// Its id.
        id: String,
    },
    /// Have an order carried out that somebody else gave.
    Approve {
        /// Its id.
        id: String,
        /// What you looked at; goes into the audit.
        #[arg(long)]
        reason: String,
    },
    /// Say no to an order, or take back your own.
    Reject {
        /// Its id.
        id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        reason: String,
    },
}
