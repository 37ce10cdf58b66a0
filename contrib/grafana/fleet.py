"""All machines: those that live, what they do together, which do most, and the collector that tells of them."""

import names
from model import any_of, dashboard, datasource, link, panel, query

PUSHED = names.Machines('job=~"$job",job!="$scrape_job",instance=~"$instance"')
SCRAPED = names.Machines('job="$scrape_job",instance=~"$instance"', names.SCRAPE_STEP)
COLLECTOR = 'instance=~"$collector"'


def own(name):
    return f"{name}{{{COLLECTOR}}}"


def own_rate(name, by="instance", legend="{{instance}}"):
    return query(f"sum by ({by}) (rate({own(name)}[$__rate_interval]))", legend)


def own_grown(name, by, legend):
    return query(f"sum by ({by}) (increase({own(name)}[$__rate_interval]))", legend)


def durations(title, description, name, by="", legend=""):
    targets = PUSHED.quantiles(name, 0.5, 0.99, by=by, legend=legend)
    return panel("timeseries", title, description, "s", *targets, log=True)


def machines():
    alive = f"count(count by (instance) ({PUSHED.of(names.UPTIME)}))"
    seen = lambda of: f"count(count by (instance) (count_over_time({of.of(names.UPTIME)}[$__range])))"
    return [
        panel(
            "stat", "Machines alive", "Machines with a sample that no end followed: a machine that ends gets stale markers.",
            "short", PUSHED.query(alive, instant=True), width=4, height=4,
        ),
        panel(
            "stat", "Machines seen", "All machines of the time range, those that ended included.",
            "short", PUSHED.query(seen(PUSHED), instant=True), width=4, height=4,
        ),
        panel(
            "stat", "Machines ended", "Machines whose end the collector saw, and whose last windows are stored.",
            "short", query(f"sum(increase({own('rondo_machines_ended_total')}[$__range]))", instant=True),
            width=4, height=4, decimals=0,
        ),
        panel(
            "stat", "Samples pushed per second", "Samples that servers took from the collectors, per second.",
            "cps", query(f"sum(rate({own('rondo_remote_write_samples_total')}[$__rate_interval]))", instant=True), width=4, height=4,
        ),
        panel(
            "stat", "Samples of a machine, at least",
            "The fewest samples that any machine of the time range has in one series: pushed, and as a scrape of the same machines "
            "every 15 s got them. What a machine did between its last scrape and its end, a scrape does not see.",
            "short", PUSHED.query(f"min(count_over_time({PUSHED.of(names.UPTIME)}[$__range]))", "pushed", instant=True),
            SCRAPED.query(f"min(count_over_time({SCRAPED.of(names.UPTIME)}[$__range]))", "scraped", instant=True), height=4,
        ),
        panel(
            "timeseries", "Machines alive over time", "How many machines had a recent sample, pushed and scraped. Pushed ones come once a window of 10 s is over.",
            "short", PUSHED.query(alive, "pushed"),
            SCRAPED.query(f"count(count by (instance) ({SCRAPED.of(names.UPTIME)}))", "scraped"),
        ),
        panel(
            "timeseries", "Resident memory", "Of all machines together: VMMs, and machines of the demo.",
            "bytes", PUSHED.query(f"sum({PUSHED.of(names.RSS)})", "all machines"),
        ),
        panel(
            "timeseries", "CPU time", "CPU seconds per second of all machines that record their process: 1 is one core.",
            "short", PUSHED.rate("process_user_cpu_seconds_total", legend="user"),
            PUSHED.rate("process_system_cpu_seconds_total", legend="system"), stack=True,
        ),
    ]


def load():
    return [
        panel(
            "timeseries", "vCPU exits by reason", "Exits from guests to their VMMs per second, of all machines.",
            "ops", PUSHED.rate("vcpu_exits_total", "reason", "{{reason}}"), stack=True,
        ),
        panel(
            "timeseries", "Block requests", "Requests of all guests per second, by operation.",
            "iops", PUSHED.rate("blk_requests_total", "op", "{{op}}"), stack=True,
        ),
        panel(
            "timeseries", "Block bytes", "Bytes per second of all guests, by direction.",
            "Bps", PUSHED.rate("blk_bytes_total", "direction", "{{direction}}"), stack=True,
        ),
        durations("Handling of an exit", "Time from an exit to the next entry: median and 99th percentile over all machines.", "vcpu_exit_duration_seconds"),
        durations("Time in the guest", "Time from an entry to the next exit: median and 99th percentile over all machines.", "vcpu_run_duration_seconds"),
        durations("Block latency", "From a request to its completion, by operation, over all machines.", "blk_request_duration_seconds", "op", "{{op}}"),
        durations("Disk writes (demo)", "How long the demo's machines took to write 64 KiB.", "disk_write_duration_seconds"),
        durations("Work bursts (demo)", "How long 20,000 rounds of arithmetic took in the demo's machines.", "work_burst_duration_seconds"),
        durations("Sleeps of 5 ms (demo)", "How long sleeps of 5 ms took in the demo's machines: what is beyond 5 ms, the host was late.", "sleep_duration_seconds"),
    ]


def top():
    grown = lambda name: f"sum by (instance) (increase({PUSHED.of(name)}[$__range]))"
    return [
        panel("bargauge", "Most vCPU exits", "The ten machines with the most exits in the time range, ended ones included.",
              "short", PUSHED.top(10, grown("vcpu_exits_total")), width=6),
        panel("bargauge", "Most block bytes", "The ten machines that moved the most bytes in the time range.",
              "bytes", PUSHED.top(10, grown("blk_bytes_total")), width=6),
        panel("bargauge", "Most CPU time (demo)", "The ten machines that used the most CPU seconds in user mode.",
              "s", PUSHED.top(10, grown("process_user_cpu_seconds_total")), width=6),
        panel("bargauge", "Most memory", "The ten machines with the most resident memory at any time in the range.",
              "bytes", PUSHED.top(10, f"max by (instance) (max_over_time({PUSHED.of(names.RSS)}[$__range]))"), width=6),
    ]


def host():
    rate = lambda name, legend: own_rate(f"rondo_host_{name}", legend=legend + " on {{instance}}")
    mean = lambda name, legend: query(
        f"rate({own(f'rondo_host_{name}_sum')}[$__rate_interval]) / rate({own(f'rondo_host_{name}_count')}[$__rate_interval])",
        legend + " on {{instance}}",
    )
    return [
        panel("timeseries", "Work of the host", "Totals over all machines of a host, ended ones included: two series, however many machines there are.",
              "ops", rate("vcpu_exits_total", "exits"), rate("work_iterations_total", "turns of the demo's loop")),
        panel("timeseries", "Bytes of the host", "Totals over all machines of a host.",
              "Bps", rate("blk_bytes_total", "block devices"), rate("io_written_chars_bytes_total", "written by the demo")),
        panel("timeseries", "Mean durations of the host", "Sum over count of all samples of all machines of a host.",
              "s", mean("vcpu_exit_duration_seconds", "exit"), mean("disk_write_duration_seconds", "disk write (demo)")),
        panel("timeseries", "Memory of the host's machines", "Resident memory of all live machines of a host.",
              "bytes", *(query(own(f"rondo_host_{name}"), f"{legend} on {{{{instance}}}}")
                         for name, legend in [("vmm_rss_bytes", "VMMs"), ("process_rss_bytes", "demo")])),
        panel("timeseries", "Greatest machine", "Resident memory of the greatest live machine of a host.",
              "bytes", *(query(own(f"rondo_host_{name}_max"), f"{legend} on {{{{instance}}}}")
                         for name, legend in [("vmm_rss_bytes", "VMM"), ("process_rss_bytes", "demo")])),
        panel("timeseries", "CPU time of the host's machines", "CPU seconds per second in user mode, of all machines that record their process.",
              "short", rate("process_user_cpu_seconds_total", "user")),
    ]


def collector():
    pass_rate = f"sum by (le) (rate({own('rondo_pass_duration_seconds_bucket')}[$__rate_interval]))"
    sent = "{{destination}}"
    age = f"time() - {own('rondo_remote_write_newest_timestamp_seconds')}"
    return [
        panel("timeseries", "Pass", "How long a pass over the bus took. There is one each second, so a second is too long.",
              "s", *(query(f"histogram_quantile({quantile}, {pass_rate})", f"p{quantile * 100:g}") for quantile in (0.5, 0.99)),
              thresholds=[(0.5, "orange"), (1, "red")]),
        panel("timeseries", "Lag", "Age of the oldest complete second that is not read yet. Slabs hold minutes; what is older is lost.",
              "s", query(own("rondo_lag_seconds"), "{{instance}}"), thresholds=[(5, "orange"), (60, "red")]),
        panel("timeseries", "Slabs", "Slabs on the bus by state. Stuck ones are locked by a writer that is silent.",
              "short", query(f"sum by (state) ({own('rondo_slabs')})", "{{state}}")),
        panel("timeseries", "Lost and refused", "Nothing of it should happen: seconds overwritten before they were read, points torn, "
              "samples that writers refused, slabs given up, writes to the store that failed, passes left out.",
              "short", own_grown("rondo_intervals_lost_total", "instance", "intervals lost"),
              own_grown("rondo_points_torn_total", "instance", "points torn"),
              own_grown("rondo_samples_refused_total", "reason", "samples refused: {{reason}}"),
              own_grown("rondo_slabs_lost_total", "instance", "slabs lost"),
              own_grown("rondo_store_errors_total", "instance", "store errors"),
              own_grown("rondo_passes_missed_total", "instance", "passes missed"), thresholds=[(1, "red")]),
        panel("timeseries", "Points read", "Points read from slabs per second, and rows written to the store by tier.",
              "cps", own_rate("rondo_points_read_total", legend="points"),
              own_rate("rondo_rows_written_total", by="tier", legend="rows of tier {{tier}}")),
        panel("timeseries", "Store use", "Part of each tier's fixed space that holds rows. A full tier overwrites its oldest rows; that is how it works.",
              "percentunit", query(f"{own('rondo_store_used_bytes')} / {own('rondo_store_bytes')}", "tier {{tier}}")),
        panel("timeseries", "Samples pushed", "Samples that servers took, per second.",
              "cps", own_rate("rondo_remote_write_samples_total", "destination", sent)),
        panel("timeseries", "Still to push", "Points in the store that are yet to be sent. Rising means that the server is slower than the machines, or away.",
              "short", query(own("rondo_remote_write_points_pending"), sent)),
        panel("timeseries", "Age of the newest sample", "Since the stamp of the newest sample that a server took: up to 10 s for a window to end, and the way. It grows when no machine lives.",
              "s", query(age, sent), thresholds=[(60, "orange"), (300, "red")]),
        panel("timeseries", "Samples refused", "Samples that servers refused for good, by reason. They are not sent again.",
              "short", own_grown("rondo_remote_write_samples_refused_total", "destination, reason", "{{reason}}"), thresholds=[(1, "red")]),
        panel("timeseries", "Not sent", "Points overwritten in the store before they were sent, rows too old to be sent, and samples whose labels another series has.",
              "short", own_grown("rondo_remote_write_points_lost_total", "destination", "points lost"),
              own_grown("rondo_remote_write_rows_too_old_total", "destination", "rows too old"),
              own_grown("rondo_remote_write_samples_conflicting_total", "destination", "samples in conflict"), thresholds=[(1, "red")]),
        panel("timeseries", "Requests", "Requests per second by what became of them, and those that had been sent before.",
              "reqps", own_rate("rondo_remote_write_requests_total", "outcome", "{{outcome}}"),
              own_rate("rondo_remote_write_retries_total", "destination", "again")),
        panel("timeseries", "Bytes pushed", "Bytes of the bodies of requests per second.",
              "Bps", own_rate("rondo_remote_write_sent_bytes_total", "destination", sent)),
        panel("timeseries", "CPU time of the collector", "CPU seconds per second of the collector's process.",
              "short", own_rate("process_cpu_seconds_total")),
        panel("timeseries", "Memory of the collector", "Resident memory of the collector's process.",
              "bytes", query(own("process_resident_memory_bytes"), "{{instance}}")),
    ]


def build():
    return dashboard(
        "rondo-fleet", "rondo: fleet", "All machines of a job, the totals of their hosts, and the collectors that tell of them.",
        [
            datasource(),
            names.job(),
            any_of("instance", "Machine", "The machine's name.", names.INSTANCES),
            any_of("collector", "Collector", "The collector's own page, as scraped.", "label_values(rondo_build_info, instance)"),
            names.scrape_job(),
        ],
        [link("One machine", "rondo-machine")],
        [("Machines", machines()), ("Load of all machines", load()), ("Machines with the most", top()),
         ("Totals of the host", host()), ("Collector", collector())],
    )
