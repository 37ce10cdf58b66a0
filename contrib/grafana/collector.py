"""What a collector says on its own page: totals of its host, its health, and its push."""

from model import panel, query

COLLECTOR = 'instance=~"$collector"'


def own(name):
    return f"{name}{{{COLLECTOR}}}"


def own_rate(name, by="instance", legend="{{instance}}"):
    return query(f"sum by ({by}) (rate({own(name)}[$__rate_interval]))", legend)


def own_grown(name, by, legend):
    return query(f"sum by ({by}) (increase({own(name)}[$__rate_interval]))", legend)


def host():
    rate = lambda name, legend: own_rate(f"rondo_host_{name}", legend=legend + " on {{instance}}")
    mean = lambda name, legend: query(
        f"rate({own(f'rondo_host_{name}_sum')}[$__rate_interval]) / rate({own(f'rondo_host_{name}_count')}[$__rate_interval])",
        legend + " on {{instance}}",
    )
    return [
        panel(
            "timeseries",
            "Work of the host",
            "Totals over all machines of a host, ended ones included: two series, however many machines there are.",
            "ops",
            rate("vcpu_exits_total", "exits"),
            rate("work_iterations_total", "turns of the demo's loop"),
        ),
        panel(
            "timeseries",
            "Bytes of the host",
            "Totals over all machines of a host.",
            "Bps",
            rate("blk_bytes_total", "block devices"),
            rate("io_written_chars_bytes_total", "written by the demo"),
        ),
        panel(
            "timeseries",
            "Mean durations of the host",
            "Sum over count of all samples of all machines of a host.",
            "s",
            mean("vcpu_exit_duration_seconds", "exit"),
            mean("disk_write_duration_seconds", "disk write (demo)"),
        ),
        panel(
            "timeseries",
            "Memory of the host's machines",
            "Resident memory of all live machines of a host.",
            "bytes",
            *(
                query(own(f"rondo_host_{name}"), f"{legend} on {{{{instance}}}}")
                for name, legend in [("vmm_rss_bytes", "VMMs"), ("process_rss_bytes", "demo")]
            ),
        ),
        panel(
            "timeseries",
            "Greatest machine",
            "Resident memory of the greatest live machine of a host.",
            "bytes",
            *(
                query(own(f"rondo_host_{name}_max"), f"{legend} on {{{{instance}}}}")
                for name, legend in [("vmm_rss_bytes", "VMM"), ("process_rss_bytes", "demo")]
            ),
        ),
        panel(
            "timeseries",
            "CPU time of the host's machines",
            "CPU seconds per second in user mode, of all machines that record their process.",
            "short",
            rate("process_user_cpu_seconds_total", "user"),
        ),
    ]


def health():
    pass_rate = f"sum by (le) (rate({own('rondo_pass_duration_seconds_bucket')}[$__rate_interval]))"
    sent = "{{destination}}"
    age = f"time() - {own('rondo_remote_write_newest_timestamp_seconds')}"
    return [
        panel(
            "timeseries",
            "Pass",
            "How long a pass over the bus took. There is one each second, so a second is too long.",
            "s",
            *(query(f"histogram_quantile({quantile}, {pass_rate})", f"p{quantile * 100:g}") for quantile in (0.5, 0.99)),
            thresholds=[(0.5, "orange"), (1, "red")],
        ),
        panel(
            "timeseries",
            "Lag",
            "Age of the oldest complete second that is not read yet. Slabs hold minutes; what is older is lost.",
            "s",
            query(own("rondo_lag_seconds"), "{{instance}}"),
            thresholds=[(5, "orange"), (60, "red")],
        ),
        panel(
            "timeseries",
            "Slabs",
            "Slabs on the bus by state. Stuck ones are locked by a writer that is silent.",
            "short",
            query(f"sum by (state) ({own('rondo_slabs')})", "{{state}}"),
        ),
        panel(
            "timeseries",
            "Lost and refused",
            "Nothing of it should happen: seconds overwritten before they were read, points torn, "
            "samples that writers refused, slabs given up, writes to the store that failed, passes left out.",
            "short",
            own_grown("rondo_intervals_lost_total", "instance", "intervals lost"),
            own_grown("rondo_points_torn_total", "instance", "points torn"),
            own_grown("rondo_samples_refused_total", "reason", "samples refused: {{reason}}"),
            own_grown("rondo_slabs_lost_total", "instance", "slabs lost"),
            own_grown("rondo_store_errors_total", "instance", "store errors"),
            own_grown("rondo_passes_missed_total", "instance", "passes missed"),
            thresholds=[(1, "red")],
        ),
        panel(
            "timeseries",
            "Points read",
            "Points read from slabs per second, and rows written to the store by tier.",
            "cps",
            own_rate("rondo_points_read_total", legend="points"),
            own_rate("rondo_rows_written_total", by="tier", legend="rows of tier {{tier}}"),
        ),
        panel(
            "timeseries",
            "Store use",
            "Part of each tier's fixed space that holds rows. A full tier overwrites its oldest rows; that is how it works.",
            "percentunit",
            query(f"{own('rondo_store_used_bytes')} / {own('rondo_store_bytes')}", "tier {{tier}}"),
        ),
        panel(
            "timeseries",
            "Samples pushed",
            "Samples that servers took, per second.",
            "cps",
            own_rate("rondo_remote_write_samples_total", "destination", sent),
        ),
        panel(
            "timeseries",
            "Still to push",
            "Points in the store that are yet to be sent. Rising means that the server is slower than the machines, or away.",
            "short",
            query(own("rondo_remote_write_points_pending"), sent),
        ),
        panel(
            "timeseries",
            "Age of the newest sample",
            "Since the stamp of the newest sample that a server took: up to 10 s for a window to end, and the way. It grows when no machine lives.",
            "s",
            query(age, sent),
            thresholds=[(60, "orange"), (300, "red")],
        ),
        panel(
            "timeseries",
            "Samples refused",
            "Samples that servers refused for good, by reason. They are not sent again.",
            "short",
            own_grown("rondo_remote_write_samples_refused_total", "destination, reason", "{{reason}}"),
            thresholds=[(1, "red")],
        ),
        panel(
            "timeseries",
            "Not sent",
            "Points overwritten in the store before they were sent, rows too old to be sent, and samples whose labels another series has.",
            "short",
            own_grown("rondo_remote_write_points_lost_total", "destination", "points lost"),
            own_grown("rondo_remote_write_rows_too_old_total", "destination", "rows too old"),
            own_grown("rondo_remote_write_samples_conflicting_total", "destination", "samples in conflict"),
            thresholds=[(1, "red")],
        ),
        panel(
            "timeseries",
            "Requests",
            "Requests per second by what became of them, and those that had been sent before.",
            "reqps",
            own_rate("rondo_remote_write_requests_total", "outcome", "{{outcome}}"),
            own_rate("rondo_remote_write_retries_total", "destination", "again"),
        ),
        panel(
            "timeseries",
            "Bytes pushed",
            "Bytes of the bodies of requests per second.",
            "Bps",
            own_rate("rondo_remote_write_sent_bytes_total", "destination", sent),
        ),
        panel(
            "timeseries",
            "CPU time of the collector",
            "CPU seconds per second of the collector's process.",
            "short",
            own_rate("process_cpu_seconds_total"),
        ),
        panel(
            "timeseries",
            "Memory of the collector",
            "Resident memory of the collector's process.",
            "bytes",
            query(own("process_resident_memory_bytes"), "{{instance}}"),
        ),
    ]
