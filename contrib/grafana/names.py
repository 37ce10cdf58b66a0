"""Selectors and expressions that both dashboards use.

A collector pushes the series of tier 1: one sample per series every 10 s. Series that a job scraped from the same
machines have the same names, so every selector of pushed ones leaves that job out; otherwise sums would count twice.
"""

from model import any_of, query, text

PUSH_STEP = "10s"
SCRAPE_STEP = "15s"
SCRAPE_JOB = "rondo-scrape"

# Every machine records one of them: a VMM the first, a machine of `rondo demo` the second.
UPTIME = "vmm_uptime_seconds|process_uptime_seconds"
RSS = "vmm_rss_bytes|process_rss_bytes"
FDS = "vmm_open_fds|process_open_fds"
WORK = "vcpu_exits_total|work_iterations_total"
# What to say of an increase() over the life of a machine that ended: it reaches half a sample further.
EXTRAPOLATED = "Prometheus extrapolates: of a machine that lived 45 s it says a tenth too much."
DURATION = "vcpu_exit_duration_seconds|disk_write_duration_seconds"

INSTANCES = f'label_values({{__name__=~"{UPTIME}",job=~"$job",job!="$scrape_job"}}, instance)'


def job():
    jobs = f'label_values({{__name__=~"{UPTIME}",job!="$scrape_job"}}, job)'
    return any_of("job", "Job", "Pushed series have a job only where external_labels sets it; all of them are in All.", jobs)


def scrape_job():
    why = "The job that scrapes /metrics/machines. Its series are compared with those pushed, and never added to them."
    return text("scrape_job", "Scrape job", why, SCRAPE_JOB)


class Machines:
    """Series of machines that `matchers` choose, as they came: pushed, unless said otherwise."""

    def __init__(self, matchers, step=PUSH_STEP):
        self.matchers, self.step = matchers, step

    def of(self, name):
        """A selector. Several names are separated by `|`."""
        return f'{{__name__=~"{name}",{self.matchers}}}' if "|" in name else f"{name}{{{self.matchers}}}"

    def query(self, expr, legend="", **more):
        return query(expr, legend, step=self.step, **more)

    def rate(self, name, by="", legend=""):
        """Growth per second, summed over all but the labels `by`."""
        return self.query(f"sum{_by(by)} (rate({self.of(name)}[$__rate_interval]))", legend)

    def quantiles(self, name, *quantiles, by="", legend=""):
        """Quantiles of a histogram, over all machines that are chosen."""
        buckets = self.of(name.replace("|", "_bucket|") + "_bucket")
        rate = f"sum by ({', '.join(filter(None, ['le', by]))}) (rate({buckets}[$__rate_interval]))"
        say = lambda quantile: f"p{quantile * 100:g} {legend}".rstrip()
        return [self.query(f"histogram_quantile({quantile}, {rate})", say(quantile)) for quantile in quantiles]

    def greatest(self, name, by="", legend="greatest"):
        """The greatest sample of each window that was pushed, exactly: scraped histograms have none."""
        return self.query(f"max{_by(by)} ({self.of(name + '_max')})", legend)

    def top(self, count, expr):
        """The machines with the greatest values, once."""
        return self.query(f"topk({count}, {expr})", "{{instance}}", instant=True)


def _by(labels):
    return f" by ({labels})" if labels else ""
