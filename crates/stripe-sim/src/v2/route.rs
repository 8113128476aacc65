//! Which v2 endpoint a request is for.

/// The resources under `/v2/` that are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Account,
    Destination,
    MeterEvent,
}

/// What can be done to a resource beside the ordinary five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Closes an account.
    Close,
    /// Switches an event destination on.
    Enable,
    /// Switches an event destination off.
    Disable,
    /// Sends an event to a destination, which has to be on.
    Ping,
}

/// An endpoint with the id of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Create(Kind),
    Retrieve(Kind, String),
    Update(Kind, String),
    List(Kind),
    Delete(Kind, String),
    Act(Action, String),
}

impl Kind {
    pub(crate) fn object(self) -> &'static str {
        match self {
            Self::Account => "v2.core.account",
            Self::Destination => "v2.core.event_destination",
            Self::MeterEvent => "v2.billing.meter_event",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Account => "/v2/core/accounts",
            Self::Destination => "/v2/core/event_destinations",
            Self::MeterEvent => "/v2/billing/meter_events",
        }
    }

    pub(crate) fn prefix(self, live: bool) -> &'static str {
        match (self, live) {
            (Self::Account, _) => "acct",
            (Self::Destination, true) => "ed",
            (Self::Destination, false) => "ed_test",
            (Self::MeterEvent, _) => "mevt",
        }
    }
}

impl Route {
    /// The endpoint of `method` and of `path`, which goes on after `/v2/`.
    pub(crate) fn find(method: &str, path: &str) -> Option<Self> {
        let segments: Vec<_> = path.split('/').collect();
        let (kind, rest) = match segments.as_slice() {
            ["core", "accounts", rest @ ..] => (Kind::Account, rest),
            ["core", "event_destinations", rest @ ..] => (Kind::Destination, rest),
            ["billing", "meter_events"] if method == "POST" => return Some(Self::Create(Kind::MeterEvent)),
            _ => return None,
        };
        if rest.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        Some(match (method, kind, rest) {
            ("POST", _, []) => Self::Create(kind),
            ("GET", _, []) => Self::List(kind),
            ("GET", _, [id]) => Self::Retrieve(kind, (*id).to_owned()),
            ("POST", _, [id]) => Self::Update(kind, (*id).to_owned()),
            ("DELETE", Kind::Destination, [id]) => Self::Delete(kind, (*id).to_owned()),
            ("POST", Kind::Account, [id, "close"]) => Self::Act(Action::Close, (*id).to_owned()),
            ("POST", Kind::Destination, [id, "enable"]) => Self::Act(Action::Enable, (*id).to_owned()),
            ("POST", Kind::Destination, [id, "disable"]) => Self::Act(Action::Disable, (*id).to_owned()),
            ("POST", Kind::Destination, [id, "ping"]) => Self::Act(Action::Ping, (*id).to_owned()),
            _ => return None,
        })
    }

    /// The name that the endpoint's limits are counted under.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create(Kind::Account) => "v2.core.accounts.create",
            Self::Retrieve(Kind::Account, _) => "v2.core.accounts.retrieve",
            Self::Update(Kind::Account, _) => "v2.core.accounts.update",
            Self::List(Kind::Account) => "v2.core.accounts.list",
            Self::Create(Kind::Destination) => "v2.core.event_destinations.create",
            Self::Retrieve(Kind::Destination, _) => "v2.core.event_destinations.retrieve",
            Self::Update(Kind::Destination, _) => "v2.core.event_destinations.update",
            Self::List(Kind::Destination) => "v2.core.event_destinations.list",
            Self::Delete(..) => "v2.core.event_destinations.delete",
            Self::Create(_) | Self::Retrieve(..) | Self::Update(..) | Self::List(_) => {
                "v2.billing.meter_events.create"
            }
            Self::Act(Action::Close, _) => "v2.core.accounts.close",
            Self::Act(Action::Enable, _) => "v2.core.event_destinations.enable",
            Self::Act(Action::Disable, _) => "v2.core.event_destinations.disable",
            Self::Act(Action::Ping, _) => "v2.core.event_destinations.ping",
        }
    }

    /// The id of the object that a request changes.
    pub(crate) fn changed(&self) -> Option<&str> {
        match self {
            Self::Update(_, id) | Self::Delete(_, id) | Self::Act(_, id) => Some(id),
            Self::Create(_) | Self::Retrieve(..) | Self::List(_) => None,
        }
    }
}
