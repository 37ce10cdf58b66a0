/*
 * slab_watch FILE SECONDS: reads a slab while a test writer fills it as fast as it can, and checks
 * that no value is ever torn or taken for that of another interval. The writer's values follow from
 * the interval they are in, so that every one can be checked by itself.
 *
 *     cc -std=c11 -Wall -Wextra -Werror -O2 -o slab_watch slab_watch.c
 */
#include "../rondo_slab.h"

#include <inttypes.h>
#include <stdio.h>

struct tally {
    uint64_t rounds, present, absent, torn, wrong;
    char first_wrong[300];
};

/* The sum of the first `count` samples, the i-th of which is i mod 1024 */
static double sum_of_first(uint64_t count)
{
    uint64_t rest = count % 1024;
    return (double)(count / 1024 * (1023 * 1024 / 2) + rest * (rest - 1) / 2);
}

static bool is_right(const struct rondo_series *series, uint64_t n, const struct rondo_sample *sample)
{
    if (series->kind == RONDO_GAUGE)
        return sample->gauge >= (double)n * 1000 && sample->gauge < (double)(n + 1) * 1000;
    if (series->kind == RONDO_COUNTER)
        return sample->counter / 1000000 == n;
    return sample->count && sample->last == (double)((sample->count - 1) % 1024)
           && sample->sum == sum_of_first(sample->count) && sample->min <= sample->last
           && sample->last <= sample->max;
}

static bool is_checked(const struct rondo_series *series)
{
    static const char *const names[] = {"", "check_gauge", "check_counter", "check_distribution",
                                        "check_histogram"};
    return rondo_same(series->name, names[series->kind], (uint32_t)strlen(names[series->kind]));
}

static void check(const struct rondo_slab *slab, const struct rondo_series *series,
                  const struct rondo_view *view, struct tally *tally)
{
    for (uint64_t t = view->start_ns; t < view->end_ns; t += slab->interval_ns) {
        struct rondo_sample sample;
        enum rondo_state state = rondo_read(slab, series, t, &sample);
        tally->absent += state == RONDO_ABSENT;
        tally->torn += state == RONDO_TORN;
        tally->present += state == RONDO_PRESENT;
        if (state != RONDO_PRESENT || is_right(series, t / slab->interval_ns, &sample))
            continue;
        if (!tally->wrong++)
            snprintf(tally->first_wrong, sizeof tally->first_wrong,
                     "%.*s at %" PRIu64 ": gauge %.17g counter %" PRIu64 " count %" PRIu64
                     " sum %.17g min %.17g max %.17g last %.17g",
                     (int)series->name.length, series->name.bytes, t, sample.gauge, sample.counter,
                     sample.count, sample.sum, sample.min, sample.max, sample.last);
    }
}

int main(int argc, char **argv)
{
    struct rondo_slab slab;
    struct tally tally = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: slab_watch FILE SECONDS\n");
        return 2;
    }
    if (!rondo_open(&slab, argv[1], RONDO_LIMIT)) {
        fprintf(stderr, "%s: %s: %s\n", argv[1], slab.rule, slab.why);
        return 1;
    }
    uint64_t until = rondo_clock(CLOCK_MONOTONIC) + (uint64_t)(strtod(argv[2], NULL) * 1e9);
    for (; rondo_clock(CLOCK_MONOTONIC) < until; tally.rounds++) {
        if (!rondo_refresh(&slab)) {
            fprintf(stderr, "%s: %s: %s\n", argv[1], slab.rule, slab.why);
            return 1;
        }
        struct rondo_view view = rondo_look(&slab);
        for (uint32_t i = 0; i < slab.series_count; i++)
            if (is_checked(&slab.series[i]))
                check(&slab, &slab.series[i], &view, &tally);
    }
    printf("{\"rounds\":%" PRIu64 ",\"present\":%" PRIu64 ",\"absent\":%" PRIu64 ",\"torn\":%" PRIu64
           ",\"wrong\":%" PRIu64 ",\"first_wrong\":",
           tally.rounds, tally.present, tally.absent, tally.torn, tally.wrong);
    printf(tally.wrong ? "\"%s\"}\n" : "null}\n", tally.first_wrong);
    rondo_close(&slab);
    return tally.wrong || !tally.present;
}
