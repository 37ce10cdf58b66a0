//! Machines of simulated time that come and go while their collector is killed again and again, at any moment.
//!
//! `RONDO_SOAK` and `RONDO_SEED` as in [`crate::random`].

use crate::random::{Random, soak};
use crate::simulation::{Host, Machine};
use rondo_writer::SchemaConfig;
use std::process::Child;
use std::time::{Duration, Instant};

const MACHINES: u64 = 6;

/// How long the last collector may take to store what all machines left.
const STORED_MAX: Duration = Duration::from_secs(60);

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub struct Killing {
    /// How often the collector is killed.
    pub kills: u64,
    /// The longest that one lives.
    pub life_max: Duration,
    /// How long a second of a machine takes.
    pub second: Duration,
}

/// A machine that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Its name.
    pub instance: String,
    /// How long it lived.
    pub seconds: u64,
}

/// How many seconds a machine lives: most of them less than a minute, some long enough for the ring to come round.
fn life(number: u64) -> u64 {
    [45, 31, 450, 45, 7, 1_300, 90, 45][number as usize % 8]
}

fn name(number: u64) -> String {
    format!("vm-{number}")
}

struct Alive {
    number: u64,
    machine: Machine,
    seconds: u64,
}

impl Alive {
    fn start(host: &Host, schema: &SchemaConfig, number: u64) -> Self {
        Self {
            number,
            machine: Machine::start(host, &name(number), schema.clone()),
            seconds: 0,
        }
    }

    fn live(&mut self) {
        self.machine.live(self.seconds);
        self.seconds += 1;
    }

    fn over(&self) -> Over {
        Over {
            instance: name(self.number),
            seconds: self.seconds,
        }
    }
}

impl Killing {
    /// Lets machines live and kills collectors, each started by `collect`, until the last one has stored everything and removed
    /// all slabs. Returns the machines, and that collector, which runs on.
    pub fn run(
        self,
        host: &Host,
        schema: &SchemaConfig,
        mut collect: impl FnMut() -> Child,
    ) -> (Vec<Over>, Child) {
        let kills = self.kills * soak();
        let mut random = Random::of_this_run();

        let mut next = MACHINES;
        let mut machines: Vec<Alive> = (0..next)
            .map(|number| Alive::start(host, schema, number))
            .collect();
        let mut over = Vec::new();
        let mut collector = collect();
        let mut kill_at = Instant::now();
        let mut killed = 0;
        while killed < kills {
            if Instant::now() >= kill_at {
                collector.kill().unwrap();
                collector.wait().unwrap();
                collector = collect();
                killed += 1;
                let life_us = random.below(self.life_max.as_micros() as u64);
                kill_at = Instant::now() + Duration::from_micros(life_us);
            }
            for alive in &mut machines {
                alive.live();
                if alive.seconds == life(alive.number) {
                    over.push(alive.over());
                    *alive = Alive::start(host, schema, next);
                    next += 1;
                }
            }
            // The ring holds ten minutes: far more than a collector is away.
            std::thread::sleep(self.second);
        }
        for mut alive in machines {
            alive.live();
            over.push(alive.over());
        }
        let short = over.iter().filter(|over| over.seconds <= 45).count();
        println!(
            "{killed} kills, {} machines, {short} of them of at most 45 s",
            over.len()
        );
        assert!(over.len() > 20, "too few machines ended to show anything");
        let deadline = Instant::now() + STORED_MAX;
        while std::fs::read_dir(host.bus.path()).unwrap().count() > 0 {
            assert!(Instant::now() < deadline, "slabs are left on the bus");
            assert!(collector.try_wait().unwrap().is_none(), "the collector ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        (over, collector)
    }
}
