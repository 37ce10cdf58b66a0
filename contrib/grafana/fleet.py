"""All machines: those that live, what they do together, which do most."""

import collector
import names
from collector import own
from model import any_of, dashboard, datasource, link, panel, query

PUSHED = names.Machines('job=~"$job",job!="$scrape_job",instance=~"$instance"')
SCRAPED = names.Machines('job="$scrape_job",instance=~"$instance"', names.SCRAPE_STEP)
MACHINE = {
    "title": "Show ${__field.labels.instance}",
    "url": "/d/rondo-machine?var-instance=${__field.labels.instance}&${datasource:queryparam}&${__url_time_range}",
}


def durations(title, description, name, by="", legend=""):
    targets = PUSHED.quantiles(name, 0.5, 0.99, by=by, legend=legend)
    return panel("timeseries", title, description, "s", *targets, log=True)


def machines():
    alive = f"count(count by (instance) ({PUSHED.of(names.UPTIME)}))"
    seen = lambda of: f"count(count by (instance) (count_over_time({of.of(names.UPTIME)}[$__range])))"
    return [
        panel(
            "stat",
            "Machines alive",
            "Machines with a sample that no end followed: a machine that ends gets stale markers.",
            "short",
            PUSHED.query(alive, instant=True),
            width=4,
            height=4,
        ),
        panel(
            "stat",
            "Machines seen",
            "All machines of the time range, those that ended included.",
            "short",
            PUSHED.query(seen(PUSHED), instant=True),
            width=4,
            height=4,
        ),
        panel(
            "stat",
            "Machines ended",
            "Machines whose end the collector saw, and whose last windows are stored.",
            "short",
            query(f"sum(increase({own('rondo_machines_ended_total')}[$__range]))", instant=True),
            width=4,
            height=4,
            decimals=0,
        ),
        panel(
            "stat",
            "Samples pushed per second",
            "Samples that servers took from the collectors, per second.",
            "cps",
            query(f"sum(rate({own('rondo_remote_write_samples_total')}[$__rate_interval]))", instant=True),
            width=4,
            height=4,
        ),
        panel(
            "stat",
            "Samples of a machine, at least",
            "The fewest samples that any machine of the time range has in one series: pushed, and as a scrape of the same machines "
            "every 15 s got them. What a machine did between its last scrape and its end, a scrape does not see.",
            "short",
            PUSHED.query(f"min(count_over_time({PUSHED.of(names.UPTIME)}[$__range]))", "pushed", instant=True),
            SCRAPED.query(f"min(count_over_time({SCRAPED.of(names.UPTIME)}[$__range]))", "scraped", instant=True),
            height=4,
        ),
        panel(
            "timeseries",
            "Machines alive over time",
            "How many machines had a recent sample, pushed and scraped. Pushed ones come once a window of 10 s is over.",
            "short",
            PUSHED.query(alive, "pushed"),
            SCRAPED.query(f"count(count by (instance) ({SCRAPED.of(names.UPTIME)}))", "scraped"),
        ),
        panel(
            "timeseries",
            "Resident memory",
            "Of all machines together: VMMs, and machines of the demo.",
            "bytes",
            PUSHED.query(f"sum({PUSHED.of(names.RSS)})", "all machines"),
        ),
        panel(
            "timeseries",
            "CPU time",
            "CPU seconds per second of all machines that record their process: 1 is one core.",
            "short",
            PUSHED.rate("process_user_cpu_seconds_total", legend="user"),
            PUSHED.rate("process_system_cpu_seconds_total", legend="system"),
            stack=True,
        ),
    ]


def load():
    return [
        panel(
            "timeseries",
            "vCPU exits by reason",
            "Exits from guests to their VMMs per second, of all machines.",
            "ops",
            PUSHED.rate("vcpu_exits_total", "reason", "{{reason}}"),
            stack=True,
        ),
        panel(
            "timeseries",
            "Block requests",
            "Requests of all guests per second, by operation.",
            "iops",
            PUSHED.rate("blk_requests_total", "op", "{{op}}"),
            stack=True,
        ),
        panel(
            "timeseries",
            "Block bytes",
            "Bytes per second of all guests, by direction.",
            "Bps",
            PUSHED.rate("blk_bytes_total", "direction", "{{direction}}"),
            stack=True,
        ),
        durations(
            "Handling of an exit",
            "Time from an exit to the next entry: median and 99th percentile over all machines.",
            "vcpu_exit_duration_seconds",
        ),
        durations(
            "Time in the guest",
            "Time from an entry to the next exit: median and 99th percentile over all machines.",
            "vcpu_run_duration_seconds",
        ),
        durations(
            "Block latency",
            "From a request to its completion, by operation, over all machines.",
            "blk_request_duration_seconds",
            "op",
            "{{op}}",
        ),
        durations("Disk writes (demo)", "How long the demo's machines took to write 64 KiB.", "disk_write_duration_seconds"),
        durations(
            "Work bursts (demo)",
            "How long 20,000 rounds of arithmetic took in the demo's machines.",
            "work_burst_duration_seconds",
        ),
        durations(
            "Sleeps of 5 ms (demo)",
            "How long sleeps of 5 ms took in the demo's machines: what is beyond 5 ms, the host was late.",
            "sleep_duration_seconds",
        ),
    ]


def top():
    grown = lambda name: f"sum by (instance) (increase({PUSHED.of(name)}[$__range]))"
    bars = lambda title, description, unit, expr: panel(
        "bargauge", title, description + " A click shows the machine.", unit, PUSHED.top(10, expr), width=6, links=[MACHINE]
    )
    return [
        bars(
            "Most vCPU exits",
            f"The ten machines with the most exits in the time range, ended ones included. {names.EXTRAPOLATED}",
            "short",
            grown("vcpu_exits_total"),
        ),
        bars(
            "Most block bytes",
            f"The ten machines that moved the most bytes in the time range. {names.EXTRAPOLATED}",
            "bytes",
            grown("blk_bytes_total"),
        ),
        bars(
            "Most CPU time (demo)",
            f"The ten machines that used the most CPU seconds in user mode. {names.EXTRAPOLATED}",
            "s",
            grown("process_user_cpu_seconds_total"),
        ),
        bars(
            "Most memory",
            "The ten machines with the most resident memory at any time in the range.",
            "bytes",
            f"max by (instance) (max_over_time({PUSHED.of(names.RSS)}[$__range]))",
        ),
    ]


def build():
    return dashboard(
        "rondo-fleet",
        "rondo: fleet",
        "All machines of a job, the totals of their hosts, and the collectors that tell of them.",
        [
            datasource(),
            names.job(),
            any_of("instance", "Machine", "The machine's name.", names.INSTANCES),
            any_of(
                "collector", "Collector", "The collector's own page, as scraped.", "label_values(rondo_build_info, instance)"
            ),
            names.scrape_job(),
        ],
        [link("One machine", "rondo-machine")],
        [
            ("Machines", machines()),
            ("Load of all machines", load()),
            ("Machines with the most", top()),
            ("Totals of the host", collector.host()),
            ("Collector", collector.health()),
        ],
    )
