"""One machine: what its vCPUs, its block devices and its process do, and what a scrape would have seen of it."""

import names
from model import dashboard, datasource, link, panel, variable

PUSHED = names.Machines('job=~"$job",job!="$scrape_job",instance="$instance"')
SCRAPED = names.Machines('job="$scrape_job",instance="$instance"', names.SCRAPE_STEP)

EXACT = " Quantiles come from buckets whose ends are powers of four; the greatest of each window of 10 s is exact."


def series(title, description, unit, *targets, **more):
    return panel("timeseries", title, description, unit, *targets, **more)


def quantiles(title, description, name):
    return series(title, description + EXACT, "s", *PUSHED.quantiles(name, 0.5, 0.9, 0.99), PUSHED.greatest(name), log=True)


def now():
    stat = lambda title, description, unit, expr: panel(
        "stat", title, description, unit, PUSHED.query(expr, instant=True), width=4, height=4
    )
    seen = f"max(max_over_time({PUSHED.of(names.UPTIME)}[$__range]))"
    return [
        stat("Uptime", "The greatest that was pushed: the mean of the last 10 s, so some seconds behind.", "dtdurations", seen),
        stat(
            "Samples",
            "Samples of one series in the time range.",
            "short",
            f"max(count_over_time({PUSHED.of(names.UPTIME)}[$__range]))",
        ),
        stat(
            "Resident memory", "At its end, if it has ended.", "bytes", f"max(last_over_time({PUSHED.of(names.RSS)}[$__range]))"
        ),
        stat("Open files", "At its end, if it has ended.", "short", f"max(last_over_time({PUSHED.of(names.FDS)}[$__range]))"),
        stat(
            "vCPU exits",
            f"In the time range. {names.EXTRAPOLATED}",
            "short",
            f"sum(increase({PUSHED.of('vcpu_exits_total')}[$__range]))",
        ),
        stat(
            "Block bytes",
            f"In the time range. {names.EXTRAPOLATED}",
            "bytes",
            f"sum(increase({PUSHED.of('blk_bytes_total')}[$__range]))",
        ),
    ]


def vcpus():
    run = f"sum(rate({PUSHED.of('vcpu_run_duration_seconds_sum')}[$__rate_interval]))"
    exits = f"sum by (le) (increase({PUSHED.of('vcpu_exit_duration_seconds_bucket')}[$__rate_interval]))"
    return [
        series(
            "Exits by reason",
            "Exits from the guest per second.",
            "ops",
            PUSHED.rate("vcpu_exits_total", "reason", "{{reason}}"),
            stack=True,
        ),
        series(
            "Exits by vCPU",
            "Exits from the guest per second.",
            "ops",
            PUSHED.rate("vcpu_exits_total", "vcpu", "vCPU {{vcpu}}"),
            stack=True,
        ),
        series(
            "vCPUs in the guest",
            "Seconds in the guest per second: as many as there are vCPUs, if all are busy.",
            "short",
            PUSHED.query(run, "in the guest"),
        ),
        quantiles("Handling of an exit", "From an exit to the next entry.", "vcpu_exit_duration_seconds"),
        quantiles("Time in the guest", "From an entry to the next exit.", "vcpu_run_duration_seconds"),
        panel(
            "heatmap",
            "Handling of exits",
            "How many exits took how long. Boundaries are powers of four of a nanosecond.",
            "s",
            PUSHED.query(exits, "{{le}}", form="heatmap"),
        ),
    ]


def block():
    return [
        series(
            "Requests",
            "Requests per second, by device and operation.",
            "iops",
            PUSHED.rate("blk_requests_total", "device, op", "{{device}} {{op}}"),
            stack=True,
            width=6,
        ),
        series(
            "Bytes",
            "Bytes per second, by device and direction.",
            "Bps",
            PUSHED.rate("blk_bytes_total", "device, direction", "{{device}} {{direction}}"),
            stack=True,
            width=6,
        ),
        series(
            "Latency",
            "From a request to its completion, by operation." + EXACT,
            "s",
            *PUSHED.quantiles("blk_request_duration_seconds", 0.5, 0.99, by="op", legend="{{op}}"),
            PUSHED.greatest("blk_request_duration_seconds", "op", "greatest {{op}}"),
            log=True,
            width=6,
        ),
        series(
            "Queue depth",
            "Requests that wait or are worked on, by device: the mean over 10 s.",
            "short",
            PUSHED.query(PUSHED.of("blk_queue_depth"), "{{device}}"),
            width=6,
        ),
    ]


def process():
    gauge = lambda name, legend: PUSHED.query(PUSHED.of(name), legend)
    return [
        series("Memory", "Resident memory of the process: the mean over 10 s.", "bytes", gauge(names.RSS, "resident")),
        series(
            "Open files",
            "Open file descriptors of the process: the mean over 10 s.",
            "short",
            gauge(names.FDS, "open"),
            thresholds=[(1000, "orange")],
        ),
        series("Uptime", "Where the line ends, the machine did.", "s", gauge(names.UPTIME, "uptime")),
    ]


def demo():
    rate = PUSHED.rate
    return [
        series(
            "CPU time",
            "CPU seconds per second of the process: 1 is one core.",
            "short",
            rate("process_user_cpu_seconds_total", legend="user"),
            rate("process_system_cpu_seconds_total", legend="system"),
            stack=True,
        ),
        series(
            "Page faults",
            "Per second.",
            "ops",
            rate("process_minor_faults_total", legend="without I/O"),
            rate("process_major_faults_total", legend="with I/O"),
        ),
        series(
            "I/O",
            "Bytes per second that calls moved, and those that storage saw.",
            "Bps",
            rate("io_read_chars_bytes_total", legend="read calls"),
            rate("io_written_chars_bytes_total", legend="write calls"),
            rate("io_read_bytes_total", legend="from storage"),
            rate("io_written_bytes_total", legend="to storage"),
        ),
        series(
            "Scheduling",
            "Of the main thread: times it gave up its CPU or lost it, per second.",
            "ops",
            rate("voluntary_switches_total", legend="gave up"),
            rate("involuntary_switches_total", legend="lost"),
        ),
        series(
            "Waiting for a CPU",
            "Seconds per second in which the main thread wanted a CPU and had none.",
            "short",
            rate("sched_wait_seconds_total", legend="waited"),
        ),
        series(
            "Lateness of ticks",
            "How long after their time ticks came: the greatest of the ten in each window.",
            "s",
            PUSHED.query(PUSHED.of("tick_lateness_seconds_max"), "greatest"),
        ),
        quantiles("Work bursts", "How long 20,000 rounds of arithmetic took.", "work_burst_duration_seconds"),
        quantiles("Disk writes", "How long writing 64 KiB took.", "disk_write_duration_seconds"),
        quantiles("Sleeps", "How long sleeps of 5 ms took.", "sleep_duration_seconds"),
    ]


def side_by_side():
    both = ((PUSHED, "bus"), (SCRAPED, "15 s scrape"))
    points = lambda of: f"max(count_over_time({of.of(names.UPTIME)}[$__range]))"
    total = lambda of: f"sum(max_over_time({of.of(names.WORK)}[$__range]))"
    work = "Exits of a VMM, turns of the work loop of a demo machine. "
    slow = "Handling of an exit of a VMM, a disk write of a demo machine. "
    pair = lambda title, why, unit, make, **more: [
        series(f"{title}: {who}", why + how, unit, *make(of), width=12, **more)
        for (of, who), how in zip(
            both, ("Pushed: a window of 10 s, made of ten recorded seconds.", "Scraped every 15 s from /metrics/machines.")
        )
    ]
    return [
        panel(
            "stat",
            "Samples of one series",
            "In the time range. Each one pushed stands for ten seconds that were recorded; each one scraped for an instant.",
            "short",
            *(of.query(points(of), who, instant=True) for of, who in both),
            width=8,
            height=5,
        ),
        panel(
            "stat",
            "Last total known",
            work + "A machine that ended after its last scrape did things of which the scrape does not know.",
            "short",
            *(of.query(total(of), who, instant=True) for of, who in both),
            width=8,
            height=5,
        ),
        series(
            "Samples per minute",
            "Of one series, pushed and scraped.",
            "short",
            *(of.query(f"max(count_over_time({of.of(names.UPTIME)}[1m]))", who) for of, who in both),
            width=8,
            height=5,
        ),
        *pair("Work", work, "ops", lambda of: [of.rate(names.WORK, legend="per second")]),
        *pair("Durations", slow, "s", lambda of: of.quantiles(names.DURATION, 0.5, 0.99), log=True),
    ]


def build():
    return dashboard(
        "rondo-machine",
        "rondo: machine",
        "One machine, live or ended, and what a scrape would have seen of it.",
        [
            datasource(),
            names.job(),
            variable("instance", "Machine", "The machine's name.", names.INSTANCES),
            names.scrape_job(),
        ],
        [link("All machines", "rondo-fleet")],
        [
            ("Now", now()),
            ("1 s bus against 15 s scrape", side_by_side()),
            ("vCPUs", vcpus()),
            ("Block devices", block()),
            ("Process", process()),
            ("Process of a demo machine", demo()),
        ],
    )
