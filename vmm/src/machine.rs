//! A whole machine: what it is built of, and its life from the first instruction to the last.

use crate::cpu;
use crate::device_thread::{DeviceThread, DeviceThreads};
use crate::devices::{Console, Devices, MmioDevice, SerialDevice};
use crate::ending::{EndRequest, Ending};
use crate::error::Error;
use crate::event_log::EventLog;
use crate::event_loop::{ConsoleInput, EventLoop, Signals, Subscriber, Tick};
use crate::kernel_stats::KernelStats;
use crate::layout;
use crate::metrics::VmMetrics;
use crate::raw;
use crate::seccomp;
use crate::stopwatch::Stopwatch;
use crate::threads::VcpuThreads;
use crate::vcpu::Vcpu;
use crate::vm::Vm;
use kvm_ioctls::IoEventAddress;
use std::cell::RefCell;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineConfig {
    /// RAM.
    pub memory_mib: u64,
    /// vCPUs.
    pub cpus: u32,
    /// Whether its threads are put behind filters.
    pub seccomp: bool,
}

/// A machine that does not run yet.
pub struct Machine {
    config: MachineConfig,
    vm: Vm,
    devices: Devices,
    subscribers: Vec<Subscriber>,
    threads: Vec<DeviceThread>,
    metrics: VmMetrics,
    events: Option<EventLog>,
    end: Arc<EndRequest>,
}

impl Machine {
    /// A machine with a serial port that writes to `console`, and no guest. From now on the signals that end a
    /// process end the machine when it runs, and are put off until then.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(config: MachineConfig, metrics: VmMetrics, console: Console) -> Result<Self, Error> {
        let vm = Vm::new(config.memory_mib)?;
        let max = vm.vcpus_max();
        if !(1..=max).contains(&config.cpus) {
            return Err(Error::Cpus {
                given: config.cpus,
                max,
            });
        }
        let end = Arc::new(EndRequest::new().map_err(Error::system("create an event"))?);
        let serial = SerialDevice::new(console, metrics.milestones().clone(), end.clone())?;
        let this = Self {
            config,
            devices: Devices::new(serial, end.clone()),
            vm,
            subscribers: vec![Box::new(Signals::new(end.clone())?)],
            threads: Vec::new(),
            metrics,
            events: None,
            end,
        };
        this.connect_interrupt(this.devices.serial().interrupt(), layout::SERIAL_GSI)?;
        Ok(this)
    }

    /// KVM's side of it, and the memory: for loading a guest.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Where to ask for the end.
    pub fn end(&self) -> &Arc<EndRequest> {
        &self.end
    }

    /// For devices that record.
    pub fn metrics(&mut self) -> &mut VmMetrics {
        &mut self.metrics
    }

    /// Puts a device at an address of the gap for devices.
    ///
    /// # Errors
    /// [`Error::DeviceOverlap`].
    pub fn attach(&mut self, range: Range<u64>, device: Box<dyn MmioDevice>) -> Result<(), Error> {
        self.devices.attach(range, device)
    }

    /// Makes an event an interrupt of the guest: the kernel passes it on, whoever signals it.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn connect_interrupt(&self, event: &EventFd, gsi: u32) -> Result<(), Error> {
        self.vm
            .fd
            .register_irqfd(event, gsi)
            .map_err(Error::kvm("connect an interrupt"))
    }

    /// Makes a 32-bit write of `value` at `address` signal an event in place of an exit: how a device is told that
    /// a queue has work, without holding the guest up.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn connect_doorbell(&self, event: &EventFd, address: u64, value: u32) -> Result<(), Error> {
        self.vm
            .fd
            .register_ioevent(event, &IoEventAddress::Mmio(address), value)
            .map_err(Error::kvm("connect a doorbell"))
    }

    /// Writes what becomes of the guest into a log, from its start on.
    pub fn log_events(&mut self, log: EventLog) {
        self.events = Some(log);
    }

    /// Puts something into the event loop.
    pub fn subscribe(&mut self, subscriber: Subscriber) {
        self.subscribers.push(subscriber);
    }

    /// Starts a thread with the guest, and waits for it at the end.
    pub fn add_thread(&mut self, thread: DeviceThread) {
        self.threads.push(thread);
    }

    /// Runs the guest on this thread and one more for each vCPU and each device that has one, until it ends. The filter
    /// that is then on this thread stays.
    ///
    /// # Errors
    /// See [`Error`]; what happens to a guest that runs is an [`Ending`].
    pub fn run(self, entry: cpu::Entry) -> Result<Ending, Error> {
        let Self {
            config,
            vm,
            devices,
            subscribers,
            threads: device_threads,
            mut metrics,
            events: log,
            end,
        } = self;
        let devices = Arc::new(devices);
        // A kernel before 5.14 has no such files, and a later one may change them: no reason to stop.
        let kernel_stats = |of: &dyn AsRawFd| raw::stats_file(of).and_then(KernelStats::read);
        if let Ok(stats) = kernel_stats(&vm.fd) {
            metrics.add_kernel_stats(None, stats)?;
        }
        let mut vcpus = Vec::new();
        for index in 0..config.cpus {
            let fd = vm.create_vcpu(index)?;
            cpu::prepare(&vm, &fd, index, config.cpus)?;
            if index == 0 {
                cpu::enter(&vm, &fd, entry)?;
            }
            if let Ok(stats) = kernel_stats(&fd) {
                metrics.add_kernel_stats(Some(index), stats)?;
            }
            vcpus.push(Vcpu {
                index,
                devices: devices.clone(),
                end: end.clone(),
                metrics: metrics.vcpu(index, Stopwatch::new(fd.get_tsc_khz().unwrap_or(0)))?,
                fd,
            });
        }

        let mut events = EventLoop::new(end.clone())?;
        events.add(Box::new(ConsoleInput::new(devices, end.clone())));
        for subscriber in subscribers {
            events.add(subscriber);
        }

        let vcpu_filter = config.seccomp.then(seccomp::vcpu).transpose()?;
        let event_loop_filter = config.seccomp.then(seccomp::event_loop).transpose()?;
        let (threads, schedstats) = VcpuThreads::spawn(vcpus, vcpu_filter)?;
        let device_filter = config.seccomp.then(seccomp::device).transpose()?;
        let device_threads = DeviceThreads::spawn(device_threads, device_filter, &end)?;
        for (index, schedstat) in (0..).zip(schedstats) {
            if let Some(schedstat) = schedstat {
                metrics.add_cpu_time(index, schedstat)?;
            }
        }
        let tick = Rc::new(RefCell::new(Tick::new(metrics, log, end.clone())?));
        events.add(Box::new(tick.clone()));
        if let Some(filter) = &event_loop_filter {
            seccomp::apply("event loop", filter)?;
        }

        // Nothing fails from here on: a start that the log has is followed by an end, unless the machine is killed.
        tick.borrow_mut().start();
        threads.start();
        let ending = events.run();
        threads.stop();
        device_threads.stop();
        drop(events);
        if let Some(tick) = Rc::into_inner(tick) {
            tick.into_inner().finish(&ending);
        }
        Ok(ending)
    }
}
