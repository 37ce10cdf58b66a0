/*
 * slab_json FILE: prints the JSON of a slab (see json.md).
 *
 *     cc -std=c11 -Wall -Wextra -Werror -O2 -o slab_json slab_json.c
 */
#include "../rondo_slab.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Texts have no control characters, so there are only two characters to escape. */
static void print_text(struct rondo_text text)
{
    putchar('"');
    for (uint32_t i = 0; i < text.length; i++) {
        if (text.bytes[i] == '"' || text.bytes[i] == '\\')
            putchar('\\');
        putchar(text.bytes[i]);
    }
    putchar('"');
}

static void print_labels(struct rondo_text labels)
{
    struct rondo_text name, value;
    uint32_t at = 0;
    putchar('{');
    while (rondo_label(labels, &at, &name, &value)) {
        print_text(name);
        putchar(':');
        print_text(value);
        if (at < labels.length)
            putchar(',');
    }
    putchar('}');
}

static void print_f64(const char *key, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.17g", key, value);
    else
        printf(",\"%s\":null", key); /* JSON has no other word for it */
}

static void print_sample(const struct rondo_series *series, const struct rondo_sample *sample)
{
    printf("{\"t\":%" PRIu64, sample->t);
    if (sample->torn) {
        printf(",\"torn\":true");
    } else if (series->kind == RONDO_GAUGE) {
        print_f64("value", sample->gauge);
    } else if (series->kind == RONDO_COUNTER) {
        printf(",\"value\":%" PRIu64, sample->counter);
    } else {
        printf(",\"count\":%" PRIu64, sample->count);
        print_f64("sum", sample->sum);
        print_f64("min", sample->filled ? NAN : sample->min);
        print_f64("max", sample->filled ? NAN : sample->max);
        print_f64("last", sample->filled ? NAN : sample->last);
    }
    if (sample->filled)
        printf(",\"filled\":true");
    if (sample->partial)
        printf(",\"partial\":true");
    putchar('}');
}

static void print_buckets(const struct rondo_slab *slab, const struct rondo_series *series)
{
    uint64_t counts[65 << 6]; /* more than the format allows with any precision */
    struct rondo_sample newest;
    const char *comma = "";
    rondo_read_buckets(slab, series, &newest, counts);
    printf(",\"buckets\":[");
    for (uint32_t i = 0; i < series->bucket_count; i++) {
        if (!counts[i])
            continue;
        printf("%s[%" PRIu64 ",", comma, rondo_bucket_start(series->bucket_precision, i));
        if (i + 1 < series->bucket_count)
            printf("%" PRIu64, rondo_bucket_start(series->bucket_precision, i + 1));
        else
            printf("null");
        printf(",%" PRIu64 "]", counts[i]);
        comma = ",";
    }
    putchar(']');
}

static void print_series(const struct rondo_slab *slab, const struct rondo_series *series,
                         const struct rondo_view *view)
{
    static const char *const kinds[] = {"", "gauge", "counter", "distribution", "histogram"};
    struct rondo_sample sample;
    printf("{\"name\":");
    print_text(series->name);
    printf(",\"kind\":\"%s\",\"unit\":", kinds[series->kind]);
    print_text(series->unit);
    printf(",\"help\":");
    print_text(series->help);
    printf(",\"labels\":");
    print_labels(series->labels);
    printf(",\"registered_ns\":%" PRIu64, series->registered_ns);
    uint64_t ended_ns = rondo_ended(slab, series);
    if (ended_ns)
        printf(",\"ended_ns\":%" PRIu64, ended_ns);
    else
        printf(",\"ended_ns\":null");
    printf(",\"latest\":");
    if (rondo_latest(slab, series, view, &sample))
        print_sample(series, &sample);
    else
        printf("null");
    printf(",\"points\":[");
    struct rondo_range range = rondo_walk(slab, series, view);
    for (const char *comma = ""; rondo_next(&range, &sample); comma = ",") {
        fputs(comma, stdout);
        print_sample(series, &sample);
    }
    putchar(']');
    if (series->kind == RONDO_HISTOGRAM)
        print_buckets(slab, series);
    putchar('}');
}

int main(int argc, char **argv)
{
    struct rondo_slab slab;
    if (argc != 2) {
        fprintf(stderr, "usage: slab_json FILE\n");
        return 2;
    }
    if (!rondo_open(&slab, argv[1], RONDO_LIMIT)) {
        fprintf(stderr, "%s: %s: %s\n", argv[1], slab.rule, slab.why);
        return 1;
    }
    struct rondo_view view = rondo_look(&slab);
    printf("{\"instance\":");
    print_text(slab.instance);
    printf(",\"schema\":");
    print_text(slab.schema);
    printf(",\"instance_labels\":");
    print_labels(slab.labels);
    printf(",\"incarnation\":\"");
    for (int i = 0; i < 16; i++)
        printf("%02x", slab.incarnation[i]);
    printf("\",\"part\":%" PRIu32 ",\"interval_ns\":%" PRIu64, slab.part, slab.interval_ns);
    printf(",\"start_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64, view.start_ns, view.end_ns);
    printf(",\"clock_offset_ns\":%" PRId64 ",\"series\":[", view.clock_offset_ns);
    for (uint32_t i = 0; i < slab.series_count; i++) {
        if (i)
            putchar(',');
        print_series(&slab, &slab.series[i], &view);
    }
    printf("]}\n");
    rondo_close(&slab);
    return fflush(stdout) ? 1 : 0;
}
