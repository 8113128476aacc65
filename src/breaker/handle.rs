use std::{fmt, sync::Arc};

use tokio::sync::broadcast;

use super::{
    gate::Shared,
    state::{Circuit, CircuitSnapshot, Control, Partition, Scope, State, Traffic, Transition},
};
use crate::vocab::{Host, Mode, time};

const MODES: [Mode; 2] = [Mode::Live, Mode::Sandbox];
const TRAFFIC: [Traffic; 2] = [Traffic::Read, Traffic::Write];

/// Shows a breaker, and controls it. See the [module docs](super).
///
/// All methods return at once, and may be called from anywhere, a subscriber included.
#[derive(Clone)]
pub struct BreakerHandle {
    pub(super) shared: Arc<Shared>,
}

impl BreakerHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The state of a partition. There are no timers: one whose interval is over stays open until a call comes to probe it.
    #[must_use]
    pub fn state(&self, partition: Partition) -> State {
        let Partition { host, mode, traffic } = partition;
        self.shared.read(host, |engine| engine.state(mode as usize, traffic))
    }

    /// Who decides over a partition.
    #[must_use]
    pub fn control(&self, partition: Partition) -> Control {
        let Partition { host, mode, traffic } = partition;
        self.shared.read(host, |engine| engine.control_of(mode as usize, traffic))
    }

    /// The states of all partitions that have been used.
    pub fn states(&self) -> impl Iterator<Item = (Partition, State)> + use<> {
        let used = |partition: &Partition| {
            let Partition { host, mode, traffic } = *partition;
            self.shared.read(host, |engine| engine.is_used(mode as usize, traffic))
        };
        let states: Vec<_> = all().filter(used).map(|partition| (partition, self.state(partition))).collect();
        states.into_iter()
    }

    /// The state of the circuit that opens when no connection to `host` can be made.
    #[must_use]
    pub fn local_state(&self, host: Host) -> State {
        self.shared.read(host, |engine| engine.local_state())
    }

    /// The states of the local circuits of all hosts that have been used.
    pub fn local_states(&self) -> impl Iterator<Item = (Host, State)> + use<> {
        let used = |host: &Host| self.shared.read(*host, |engine| engine.is_local_used());
        let states: Vec<_> =
            Host::ALL.into_iter().filter(used).map(|host| (host, self.local_state(host))).collect();
        states.into_iter()
    }

    /// All circuits that have been used.
    #[must_use]
    pub fn snapshot(&self) -> Vec<CircuitSnapshot> {
        let now = time::now();
        let used = |partition: &Partition| {
            let Partition { host, mode, traffic } = *partition;
            self.shared.read(host, |engine| engine.is_used(mode as usize, traffic))
        };
        let partitions = all().filter(used).map(|partition| {
            let Partition { host, mode, traffic } = partition;
            self.shared.read(host, |engine| {
                let (failures, attempts) = engine.counts_of(mode as usize, traffic, now);
                let (state, control) =
                    (engine.state(mode as usize, traffic), engine.control_of(mode as usize, traffic));
                CircuitSnapshot { circuit: partition.into(), state, control, failures, attempts }
            })
        });
        let locals =
            Host::ALL.into_iter().filter(|host| self.shared.read(*host, |engine| engine.is_local_used()));
        let locals = locals.map(|host| {
            self.shared.read(host, |engine| {
                let (failures, attempts) = engine.local_counts(now);
                let (circuit, state) = (Circuit::Local(host), engine.local_state());
                CircuitSnapshot { circuit, state, control: Control::Automatic, failures, attempts }
            })
        });
        partitions.chain(locals).collect()
    }

    /// Refuses everything, and whoever still waits for its turn too.
    pub fn force_open(&self, scope: impl Into<Scope>) {
        self.set(scope.into(), Control::ForcedOpen);
    }

    /// Admits everything and goes on counting, but never opens. The local circuit does not refuse either.
    pub fn force_closed(&self, scope: impl Into<Scope>) {
        self.set(scope.into(), Control::ForcedClosed);
    }

    /// Admits everything and counts nothing.
    pub fn disable(&self, scope: impl Into<Scope>) {
        self.set(scope.into(), Control::Disabled);
    }

    /// Admits everything, counts, and reports what it would have done.
    pub fn observe_only(&self, scope: impl Into<Scope>) {
        self.set(scope.into(), Control::ObserveOnly);
    }

    /// Leaves the decision to the circuit again. After [`force_open`](Self::force_open) and [`disable`](Self::disable) it
    /// starts anew; otherwise it goes on from where it is.
    pub fn automatic(&self, scope: impl Into<Scope>) {
        self.set(scope.into(), Control::Automatic);
    }

    /// Closes it and forgets what was counted; with [`Scope::All`] the local circuits too. What is forced stays so.
    pub fn reset(&self, scope: impl Into<Scope>) {
        let (scope, now) = (scope.into(), time::now());
        for Partition { host, mode, traffic } in within(scope) {
            self.shared.step((host, mode), now, None, |engine, step| {
                engine.reset(step, mode as usize, traffic);
            });
        }
        if scope == Scope::All {
            for host in Host::ALL {
                self.shared.step((host, Mode::Live), now, None, |engine, step| engine.reset_local(step));
            }
        }
    }

    /// Every transition from now on. A subscriber that falls more than 256 behind is told how many it has missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.shared.transitions.subscribe()
    }

    fn set(&self, scope: Scope, control: Control) {
        let now = time::now();
        for Partition { host, mode, traffic } in within(scope) {
            // Even one that was open already may have let others wait, while it only observed.
            let wake = (control == Control::ForcedOpen).then_some(traffic);
            self.shared.step((host, mode), now, wake, |engine, step| {
                engine.control(step, mode as usize, traffic, control);
            });
        }
    }
}

fn all() -> impl Iterator<Item = Partition> {
    Host::ALL.into_iter().flat_map(|host| {
        MODES
            .into_iter()
            .flat_map(move |mode| TRAFFIC.into_iter().map(move |traffic| Partition { host, mode, traffic }))
    })
}

fn within(scope: Scope) -> impl Iterator<Item = Partition> {
    all().filter(move |partition| match scope {
        Scope::All => true,
        Scope::Partition(one) => one == *partition,
    })
}

/// What it shows of the partitions that have been used.
impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.states().map(|(partition, state)| (partition.to_string(), state));
        f.debug_map().entries(states).finish()
    }
}
