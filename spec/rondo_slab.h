/*
 * rondo_slab.h: a reader of rondo slabs, format 1.x (see slab.md), in one header for C11 and C++11.
 *
 *     struct rondo_slab slab;
 *     if (!rondo_open(&slab, path, RONDO_LIMIT))
 *         errx(1, "%s: %s: %s", path, slab.rule, slab.why);
 *     struct rondo_view view = rondo_look(&slab);
 *     for (uint32_t i = 0; i < slab.series_count; i++) {
 *         struct rondo_range range = rondo_walk(&slab, &slab.series[i], &view);
 *         for (struct rondo_sample sample; rondo_next(&range, &sample);)
 *             ...
 *     }
 *     rondo_close(&slab);
 *
 * No byte of the file can make these functions read outside of it, loop without end or overflow:
 * everything that is constant is copied out of the mapping before it is checked, so that a writer
 * cannot change it between the check and the use. What remains is a writer that shrinks its file:
 * touching the lost pages raises SIGBUS, which only the program as a whole can handle.
 */
#ifndef RONDO_SLAB_H
#define RONDO_SLAB_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for F_OFD_GETLK */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __cplusplus
#include <atomic>
#else
#include <stdatomic.h>
#endif

#ifndef F_OFD_GETLK
#error "include rondo_slab.h before all other headers, or compile with -D_GNU_SOURCE"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this reader loads words as they are: it needs a little-endian machine"
#endif

#define RONDO_LIMIT ((uint64_t)16 << 20) /* the file size that readers accept unless told otherwise */
#define RONDO_SENTINEL UINT64_C(0x7FF8524F4E444F31)
#define RONDO_BUSY UINT64_MAX
#define RONDO_INSTANTS ((uint64_t)1 << 63) /* no instant lies beyond */
#define RONDO_TEXTS ((uint64_t)16 << 20) /* bytes of all texts of all series together */
#define RONDO_ATTEMPTS 64

/* What a slab is made of */

enum { RONDO_IDENTITY = 1, RONDO_TIERS, RONDO_SERIES, RONDO_STRINGS, RONDO_POINTS,
       RONDO_DISTRIBUTIONS, RONDO_CELLS, RONDO_BUCKETS, RONDO_LIVE, RONDO_SECTIONS };
enum { RONDO_GAUGE = 1, RONDO_COUNTER, RONDO_DISTRIBUTION, RONDO_HISTOGRAM };
enum { RONDO_OWNED = 1, RONDO_WRITER_HELD, RONDO_SHARED };

struct rondo_text {
    const char *bytes; /* not ended by a zero */
    uint32_t length;
};

struct rondo_section {
    uint32_t kind, record_count;
    uint64_t offset, length;
    uint32_t record_size;
};

struct rondo_series {
    uint8_t kind, access, bucket_precision;
    uint32_t slot_size, bucket_count;
    uint64_t record_offset, column_offset, cell_offset, buckets_offset;
    uint64_t registered_ns;
    struct rondo_text name, unit, help, labels;
};

struct rondo_slab {
    const char *rule, *why; /* after a call that returned false: the broken rule of section 14 */

    int fd;
    const unsigned char *bytes; /* the mapping */
    uint64_t size;
    struct rondo_section section[RONDO_SECTIONS]; /* by kind */

    uint32_t slot_count, series_capacity;
    uint64_t interval_ns;

    uint8_t incarnation[16], boot_id[16];
    bool this_boot, other_boot, simulated; /* neither boot where one of the two is unknown */
    uint32_t part;
    uint64_t anchor_ns;
    struct rondo_text instance, schema, labels;

    char *strings;               /* a copy of the section; all texts point into it */
    struct rondo_series *series; /* those in use, without the ones of unknown kind */
    uint32_t series_count;
    uint64_t series_seen; /* with the ones of unknown kind */
    uint64_t text_bytes;  /* of all series together */
};

/* Loading what changes. C11 has no atomic loads through pointers to const, hence the casts. */

#ifdef __cplusplus
static inline uint64_t rondo_load(const unsigned char *word)
{
    return reinterpret_cast<const std::atomic<uint64_t> *>(word)->load(std::memory_order_relaxed);
}
static inline void rondo_fence(void) { std::atomic_thread_fence(std::memory_order_acquire); }
#else
static inline uint64_t rondo_load(const unsigned char *word)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)word, memory_order_relaxed);
}
static inline void rondo_fence(void) { atomic_thread_fence(memory_order_acquire); }
#endif

static inline uint64_t rondo_load_acquire(const unsigned char *word)
{
    uint64_t value = rondo_load(word);
    rondo_fence();
    return value;
}

/* Decoding what does not, from copies */

static inline uint16_t rondo_u16(const void *p) { uint16_t v; memcpy(&v, p, sizeof v); return v; }
static inline uint32_t rondo_u32(const void *p) { uint32_t v; memcpy(&v, p, sizeof v); return v; }
static inline uint64_t rondo_u64(const void *p) { uint64_t v; memcpy(&v, p, sizeof v); return v; }
static inline double rondo_f64(uint64_t bits) { double v; memcpy(&v, &bits, sizeof v); return v; }

static inline bool rondo_reject(struct rondo_slab *slab, const char *rule, const char *why)
{
    slab->rule = rule;
    slab->why = why;
    return false;
}

#define RONDO_RULE(holds, rule, why) \
    do { if (!(holds)) return rondo_reject(slab, rule, why); } while (0)

/* Texts */

static inline bool rondo_same(struct rondo_text a, const char *bytes, uint32_t length)
{
    return a.length == length && !memcmp(a.bytes, bytes, length);
}

static inline int rondo_order(struct rondo_text a, struct rondo_text b)
{
    int order = memcmp(a.bytes, b.bytes, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* UTF-8 without control characters */
static inline bool rondo_is_text(struct rondo_text text)
{
    /* the least code point that so many more bytes may give: none longer than need be, no controls */
    static const uint32_t least[] = {0x20, 0xA0, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text.bytes, *end = p + text.length;
    while (p < end) {
        uint32_t point = *p++;
        int more = point < 0x80 ? 0 : point < 0xC0 ? -1 : point < 0xE0 ? 1 : point < 0xF0 ? 2
                 : point < 0xF8 ? 3 : -1;
        if (more < 0 || end - p < more)
            return false;
        if (more)
            point &= 0x3Fu >> more;
        for (int i = 0; i < more; i++, p++) {
            if ((*p & 0xC0) != 0x80)
                return false;
            point = point << 6 | (*p & 0x3Fu);
        }
        if (point < least[more] || point == 0x7F || point > 0x10FFFF || point >> 11 == 0xD800 >> 11)
            return false;
    }
    return true;
}

/* 1 to `most` of A–Z a–z 0–9 and of `also`, and not starting with one of `not_first` */
static inline bool rondo_is_name(struct rondo_text text, uint32_t most, const char *also,
                                 const char *not_first)
{
    if (!text.length || text.length > most)
        return false;
    for (uint32_t i = 0; i < text.length; i++) {
        char c = text.bytes[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!c || (!plain && !strchr(also, c)) || (!i && strchr(not_first, c)))
            return false;
    }
    return true;
}

/* Steps through the labels from *at = 0; false at their end, or where no whole pair is left. */
static inline bool rondo_label(struct rondo_text labels, uint32_t *at, struct rondo_text *name,
                               struct rondo_text *value)
{
    uint32_t left = labels.length - *at;
    const char *pair = labels.bytes + *at;
    if (left < 4)
        return false;
    name->length = rondo_u16(pair);
    value->length = rondo_u16(pair + 2);
    if (left - 4 < name->length + value->length)
        return false;
    name->bytes = pair + 4;
    value->bytes = name->bytes + name->length;
    *at += 4 + name->length + value->length;
    return true;
}

static inline bool rondo_are_labels(struct rondo_text labels)
{
    static const char *const taken[] = {"instance", "schema", "incarnation", "job", "le", "quantile"};
    struct rondo_text before = {"", 0}, name, value;
    uint32_t at = 0, pairs = 0;
    while (rondo_label(labels, &at, &name, &value)) {
        if (++pairs > 64 || !rondo_is_name(name, 128, "_", "0123456789")
            || (name.length >= 2 && !memcmp(name.bytes, "__", 2)) || rondo_order(before, name) >= 0
            || !value.length || value.length > 1024 || !rondo_is_text(value))
            return false;
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
            if (rondo_same(name, taken[i], (uint32_t)strlen(taken[i])))
                return false;
        before = name;
    }
    return at == labels.length;
}

static inline bool rondo_take_text(struct rondo_slab *slab, const unsigned char *reference,
                              struct rondo_text *text)
{
    const struct rondo_section *strings = &slab->section[RONDO_STRINGS];
    uint64_t offset = rondo_u64(reference);
    text->length = rondo_u32(reference + 8);
    text->bytes = "";
    if (!text->length)
        return true;
    RONDO_RULE(offset >= strings->offset && text->length <= strings->length
               && offset - strings->offset <= strings->length - text->length,
               "text-bounds", "a text is not inside the strings section");
    text->bytes = slab->strings + (offset - strings->offset);
    return true;
}

/* Opening: the file, its header, its sections */

static inline bool rondo_map(struct rondo_slab *slab, const char *path, uint64_t limit)
{
    struct stat file;
    /* Without O_NONBLOCK, opening a pipe would wait for its other end. */
    slab->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (slab->fd < 0)
        return rondo_reject(slab, errno == ELOOP ? "file-type" : "open", strerror(errno));
    RONDO_RULE(!fstat(slab->fd, &file), "open", strerror(errno));
    RONDO_RULE(S_ISREG(file.st_mode), "file-type", "not a regular file");
    RONDO_RULE(file.st_size >= 4096, "file-size", "less than 4096 bytes");
    RONDO_RULE((uint64_t)file.st_size <= limit, "file-size", "beyond the limit");
    RONDO_RULE(file.st_blocks >= (file.st_size + 511) / 512, "file-sparse", "the file has holes");
    void *mapping = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, slab->fd, 0);
    RONDO_RULE(mapping != MAP_FAILED, "open", strerror(errno));
    slab->bytes = (const unsigned char *)mapping;
    slab->size = (uint64_t)file.st_size;
    return true;
}

static inline bool rondo_apart(const struct rondo_section *a, const struct rondo_section *b)
{
    return !a->length || !b->length || a->offset + a->length <= b->offset
           || b->offset + b->length <= a->offset;
}

static inline bool rondo_check_table(struct rondo_slab *slab, uint64_t entries, uint64_t entry_size)
{
    RONDO_RULE(entries >= 1 && entries <= 64 && entry_size >= 32 && entry_size % 8 == 0
               && 64 + entries * entry_size <= slab->size,
               "section-table", "the section table is not 1 to 64 entries inside the file");
    struct rondo_section all[64];
    for (uint64_t i = 0; i < entries; i++) {
        unsigned char entry[32];
        struct rondo_section *section = &all[i];
        memcpy(entry, slab->bytes + 64 + i * entry_size, sizeof entry);
        section->kind = rondo_u32(entry);
        section->record_count = rondo_u32(entry + 4);
        section->offset = rondo_u64(entry + 8);
        section->length = rondo_u64(entry + 16);
        section->record_size = rondo_u32(entry + 24);

        uint64_t align = section->kind == RONDO_LIVE || section->kind == RONDO_CELLS ? 128 : 64;
        RONDO_RULE(section->offset % align == 0, "section-bounds", "a section is not aligned");
        RONDO_RULE(section->offset >= 64 + entries * entry_size && section->offset <= slab->size
                   && section->length <= slab->size - section->offset,
                   "section-bounds", "a section is not between the table and the file's end");
        for (uint64_t j = 0; j < i; j++)
            RONDO_RULE(rondo_apart(section, &all[j]), "section-bounds", "two sections overlap");

        if (section->kind == 0 || section->kind >= RONDO_SECTIONS)
            continue;
        RONDO_RULE(!slab->section[section->kind].kind, "section-set", "a section is there twice");
        slab->section[section->kind] = *section;
    }
    for (int kind = 1; kind < RONDO_SECTIONS; kind++)
        RONDO_RULE(slab->section[kind].kind, "section-set", "a section is missing");
    return true;
}

static inline bool rondo_check_records(struct rondo_slab *slab)
{
    uint32_t slots = slab->slot_count, series = slab->series_capacity;
    const struct { uint32_t size, multiple, fewest, most; bool exactly; } rule[RONDO_SECTIONS] = {
        {0, 0, 0, 0, false},
        {128, 8, 1, 1, false},                /* identity */
        {32, 8, 1, 8, false},                 /* tiers */
        {128, 8, series, series, false},      /* series */
        {1, 1, 0, UINT32_MAX, true},          /* strings */
        {slots * 16, 64, 0, UINT32_MAX, false}, /* points */
        {slots * 64, 64, 0, UINT32_MAX, false}, /* distributions */
        {128, 128, 0, UINT32_MAX, false},     /* cells */
        {8, 8, 0, UINT32_MAX, true},          /* buckets */
        {384, 8, 1, 1, false},                /* live */
    };
    for (int kind = 1; kind < RONDO_SECTIONS; kind++) {
        const struct rondo_section *section = &slab->section[kind];
        RONDO_RULE(section->record_size >= rule[kind].size
                   && section->record_size % rule[kind].multiple == 0
                   && (!rule[kind].exactly || section->record_size == rule[kind].size),
                   "section-record", "a record size is wrong");
        RONDO_RULE(section->record_count >= rule[kind].fewest && section->record_count <= rule[kind].most,
                   "section-record", "a record count is wrong");
        RONDO_RULE((uint64_t)section->record_count * section->record_size <= section->length,
                   "section-record", "the records do not fit their section");
    }
    return true;
}

static inline bool rondo_check_tiers(struct rondo_slab *slab, uint64_t schema_hash)
{
    const struct rondo_section *tiers = &slab->section[RONDO_TIERS];
    const unsigned char *from = slab->bytes + tiers->offset;
    uint64_t hash = UINT64_C(0xcbf29ce484222325), before = slab->interval_ns;
    for (uint64_t i = 0; i < tiers->length; i++)
        hash = (hash ^ from[i]) * UINT64_C(0x100000001b3);
    RONDO_RULE(hash == schema_hash, "schema-hash", "the header has another hash than the tiers");
    for (uint32_t i = 0; i < tiers->record_count; i++) {
        unsigned char tier[32];
        memcpy(tier, from + (uint64_t)i * tiers->record_size, sizeof tier);
        uint64_t interval = rondo_u64(tier), slots = rondo_u64(tier + 8);
        RONDO_RULE(interval >= before + (i > 0) && interval % before == 0 && interval >> 62 == 0,
                   "tiers", "an interval is no multiple of the one before, no longer, or over 2^62");
        RONDO_RULE(slots, "tiers", "a tier keeps nothing");
        RONDO_RULE(i || (interval == slab->interval_ns && slots == slab->slot_count),
                   "tiers", "tier 0 is not the slab itself");
        before = interval;
    }
    return true;
}

static inline bool rondo_check_header(struct rondo_slab *slab)
{
    unsigned char header[64];
    memcpy(header, slab->bytes, sizeof header);
    RONDO_RULE(!memcmp(header, "RONDOSLB", 8), "magic", "not a slab");
    RONDO_RULE(rondo_u16(header + 8) == 1, "version", "not version 1");
    RONDO_RULE(!rondo_u32(header + 32), "incompat", "it needs a feature unknown to this reader");
    RONDO_RULE(rondo_u64(header + 56) == slab->size, "file-size", "not the size that the header says");
    slab->slot_count = rondo_u32(header + 12);
    slab->interval_ns = rondo_u64(header + 24);
    slab->series_capacity = rondo_u32(header + 40);
    RONDO_RULE(slab->slot_count >= 2 && slab->slot_count <= 1048576, "slot-count", "not 2 to 1048576");
    RONDO_RULE(slab->interval_ns >= 1000000 && slab->interval_ns <= UINT64_C(86400000000000),
               "interval", "not 1 ms to 1 day");
    if (!rondo_check_table(slab, rondo_u16(header + 44), rondo_u16(header + 46)))
        return false;
    RONDO_RULE(slab->series_capacity >= 1 && slab->series_capacity <= 65536,
               "section-record", "series_capacity is not 1 to 65536");
    if (!rondo_check_records(slab))
        return false;
    RONDO_RULE(rondo_u64(header + 48) == slab->section[RONDO_LIVE].offset,
               "live-offset", "the live section starts elsewhere");
    return rondo_check_tiers(slab, rondo_u64(header + 16));
}

/* The kernel's boot_id as 16 bytes; zeros if it cannot be had. */
static inline void rondo_present_boot(uint8_t boot_id[16])
{
    char digits[36] = {0};
    int nibbles = 0, fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    memset(boot_id, 0, 16);
    if (fd < 0)
        return;
    if (read(fd, digits, sizeof digits) == (ssize_t)sizeof digits)
        for (size_t i = 0; i < sizeof digits && nibbles < 32; i++) {
            const char *hex = "0123456789abcdef", *digit = digits[i] ? strchr(hex, digits[i]) : NULL;
            if (digit) {
                boot_id[nibbles / 2] = (uint8_t)(boot_id[nibbles / 2] << 4 | (digit - hex));
                nibbles++;
            }
        }
    close(fd);
}

static inline bool rondo_check_identity(struct rondo_slab *slab)
{
    static const uint8_t none[16] = {0};
    unsigned char identity[128];
    uint8_t present_boot[16];
    memcpy(identity, slab->bytes + slab->section[RONDO_IDENTITY].offset, sizeof identity);
    memcpy(slab->incarnation, identity, 16);
    memcpy(slab->boot_id, identity + 16, 16);
    rondo_present_boot(present_boot);
    bool known = memcmp(slab->boot_id, none, 16) && memcmp(present_boot, none, 16);
    slab->this_boot = known && !memcmp(slab->boot_id, present_boot, 16);
    slab->other_boot = known && !slab->this_boot;
    slab->part = rondo_u32(identity + 40);
    slab->simulated = rondo_u32(identity + 44) & 1;
    uint64_t monotonic = rondo_u64(identity + 48), realtime = rondo_u64(identity + 56);
    slab->anchor_ns = realtime - monotonic;
    RONDO_RULE(memcmp(slab->incarnation, none, 16), "identity", "the incarnation is zero");
    RONDO_RULE(monotonic < RONDO_INSTANTS && realtime < RONDO_INSTANTS,
               "identity", "an instant is not below 2^63");
    if (!rondo_take_text(slab, identity + 64, &slab->instance)
        || !rondo_take_text(slab, identity + 80, &slab->schema)
        || !rondo_take_text(slab, identity + 96, &slab->labels))
        return false;
    RONDO_RULE(rondo_is_name(slab->instance, 128, "_.-", "."), "identity", "the instance is no valid name");
    RONDO_RULE(rondo_is_name(slab->schema, 32, "_-", ""), "identity", "the schema is no valid name");
    RONDO_RULE(rondo_are_labels(slab->labels), "identity", "the labels are not valid");
    return true;
}

/* Series */

static inline bool rondo_is_point(const struct rondo_series *series)
{
    return series->kind == RONDO_GAUGE || series->kind == RONDO_COUNTER;
}

static inline bool rondo_is_shared(const struct rondo_series *series)
{
    return series->access == RONDO_SHARED && rondo_is_point(series);
}

static inline bool rondo_on_record(const struct rondo_section *section, uint64_t offset)
{
    return offset >= section->offset && (offset - section->offset) % section->record_size == 0
           && (offset - section->offset) / section->record_size < section->record_count;
}

static inline bool rondo_check_place(struct rondo_slab *slab, const struct rondo_series *series)
{
    uint32_t unit = rondo_is_point(series) ? 16 : 64;
    const struct rondo_section *columns =
        &slab->section[rondo_is_point(series) ? RONDO_POINTS : RONDO_DISTRIBUTIONS];
    RONDO_RULE(series->slot_size >= unit && series->slot_size % unit == 0
               && (uint64_t)series->slot_size * slab->slot_count <= columns->record_size,
               "series-place", "the slot size is wrong");
    RONDO_RULE(rondo_on_record(columns, series->column_offset), "series-place", "the column is misplaced");
    RONDO_RULE(!rondo_is_shared(series) || rondo_on_record(&slab->section[RONDO_CELLS], series->cell_offset),
               "series-place", "the cell is misplaced");

    const struct rondo_section *buckets = &slab->section[RONDO_BUCKETS];
    uint64_t length = series->bucket_count * UINT64_C(8);
    if (series->kind != RONDO_HISTOGRAM) {
        RONDO_RULE(!series->bucket_precision && !series->bucket_count && !series->buckets_offset,
                   "series-place", "it has buckets but is no histogram");
        return true;
    }
    RONDO_RULE(series->bucket_precision <= 6, "series-place", "the bucket precision is beyond 6");
    /* Beyond the upper limit, buckets would start beyond 2^64. */
    RONDO_RULE(series->bucket_count >= 2
               && series->bucket_count <= (65u - series->bucket_precision) << series->bucket_precision,
               "series-place", "the bucket count is wrong");
    RONDO_RULE(series->buckets_offset % 8 == 0 && series->buckets_offset >= buckets->offset
               && length <= buckets->length
               && series->buckets_offset - buckets->offset <= buckets->length - length,
               "series-place", "the buckets are misplaced");
    return true;
}

static inline bool rondo_check_series(struct rondo_slab *slab, const unsigned char record[128],
                                      struct rondo_series *series)
{
    series->access = record[1];
    series->bucket_precision = record[2];
    series->slot_size = rondo_u32(record + 4);
    series->column_offset = rondo_u64(record + 8);
    series->registered_ns = rondo_u64(record + 16);
    series->cell_offset = rondo_u64(record + 96);
    series->buckets_offset = rondo_u64(record + 104);
    series->bucket_count = rondo_u32(record + 112);
    if (!rondo_take_text(slab, record + 32, &series->name)
        || !rondo_take_text(slab, record + 48, &series->unit)
        || !rondo_take_text(slab, record + 64, &series->help)
        || !rondo_take_text(slab, record + 80, &series->labels))
        return false;
    RONDO_RULE(rondo_is_name(series->name, 200, "_:", "0123456789"), "series-name", "a name is not valid");
    slab->text_bytes += (uint64_t)series->name.length + series->unit.length + series->help.length
                        + series->labels.length;
    RONDO_RULE(slab->text_bytes <= RONDO_TEXTS, "text-bounds", "the texts are more than 16 MiB together");
    RONDO_RULE(series->unit.length <= 32 && rondo_is_text(series->unit),
               "series-name", "a unit is not valid");
    RONDO_RULE(series->help.length <= 1024 && rondo_is_text(series->help),
               "series-name", "a help is not valid");
    RONDO_RULE(rondo_are_labels(series->labels), "series-name", "labels are not valid");
    return rondo_check_place(slab, series);
}

static inline int rondo_series_order(const void *left, const void *right)
{
    const struct rondo_series *a = *(const struct rondo_series *const *)left;
    const struct rondo_series *b = *(const struct rondo_series *const *)right;
    int order = rondo_order(a->name, b->name);
    return order ? order : rondo_order(a->labels, b->labels);
}

static inline bool rondo_check_unique(struct rondo_slab *slab)
{
    const struct rondo_series **sorted =
        (const struct rondo_series **)malloc((slab->series_count + 1) * sizeof *sorted);
    RONDO_RULE(sorted, "open", "out of memory");
    bool twice = false, mixed = false;
    for (uint32_t i = 0; i < slab->series_count; i++)
        sorted[i] = &slab->series[i];
    qsort(sorted, slab->series_count, sizeof *sorted, rondo_series_order);
    for (uint32_t i = 1; i < slab->series_count; i++) {
        twice |= !rondo_series_order(&sorted[i - 1], &sorted[i]);
        mixed |= sorted[i - 1]->kind != sorted[i]->kind && !rondo_order(sorted[i - 1]->name, sorted[i]->name);
    }
    free(sorted);
    RONDO_RULE(!twice, "series-unique", "two series have the same name and labels");
    RONDO_RULE(!mixed, "series-unique", "two series of one name have different kinds");
    return true;
}

struct rondo_span {
    uint64_t start, end;
};

static inline int rondo_span_order(const void *left, const void *right)
{
    uint64_t a = ((const struct rondo_span *)left)->start, b = ((const struct rondo_span *)right)->start;
    return (a > b) - (a < b);
}

/* Columns, cells and buckets lie in sections of their own, so that one sorted list does for all. */
static inline bool rondo_check_apart(struct rondo_slab *slab)
{
    struct rondo_span *spans =
        (struct rondo_span *)malloc((slab->series_count + 1) * (size_t)3 * sizeof *spans);
    RONDO_RULE(spans, "open", "out of memory");
    size_t count = 0;
    for (uint32_t i = 0; i < slab->series_count; i++) {
        const struct rondo_series *series = &slab->series[i];
        const uint64_t starts[] = {series->column_offset, rondo_is_shared(series) ? series->cell_offset : 0,
                                   series->buckets_offset};
        /* Columns and cells start on records, so that different ones are apart already. */
        const uint64_t lengths[] = {1, rondo_is_shared(series), series->bucket_count * UINT64_C(8)};
        for (int j = 0; j < 3; j++) {
            spans[count].start = starts[j];
            spans[count].end = starts[j] + lengths[j];
            count += lengths[j] != 0;
        }
    }
    qsort(spans, count, sizeof *spans, rondo_span_order);
    bool apart = true;
    for (size_t i = 1; i < count; i++)
        apart &= spans[i - 1].end <= spans[i].start;
    free(spans);
    RONDO_RULE(apart, "column-shared", "two series have the same column, cell or bucket");
    return true;
}

/*
 * Takes in the series registered since. If there are any, all of slab->series and all texts move.
 * All are checked again, because all are copied again. After false, only rondo_close is left.
 */
static inline bool rondo_refresh(struct rondo_slab *slab)
{
    const struct rondo_section *strings = &slab->section[RONDO_STRINGS];
    const struct rondo_section *records = &slab->section[RONDO_SERIES];
    /* The acquire makes the records below the count, and their texts, whole. */
    uint64_t count = rondo_load_acquire(slab->bytes + slab->section[RONDO_LIVE].offset + 128);
    RONDO_RULE(count <= slab->series_capacity, "series-count", "more series than the slab has room for");
    if (slab->strings && count == slab->series_seen)
        return true;
    free(slab->strings);
    free(slab->series);
    slab->series_count = 0;
    slab->text_bytes = 0;
    slab->strings = (char *)malloc(strings->length + 1);
    slab->series = (struct rondo_series *)calloc(count + 1, sizeof *slab->series);
    RONDO_RULE(slab->strings && slab->series, "open", "out of memory");
    memcpy(slab->strings, slab->bytes + strings->offset, strings->length);
    if (!rondo_check_identity(slab))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        unsigned char record[128];
        struct rondo_series *series = &slab->series[slab->series_count];
        series->record_offset = records->offset + i * records->record_size;
        memcpy(record, slab->bytes + series->record_offset, sizeof record);
        series->kind = record[0];
        if (series->kind < RONDO_GAUGE || series->kind > RONDO_HISTOGRAM)
            continue;
        if (!rondo_check_series(slab, record, series))
            return false;
        slab->series_count++;
    }
    slab->series_seen = count;
    return rondo_check_unique(slab) && rondo_check_apart(slab);
}

static inline void rondo_close(struct rondo_slab *slab)
{
    free(slab->series);
    free(slab->strings);
    if (slab->bytes)
        munmap((void *)(uintptr_t)slab->bytes, (size_t)slab->size);
    if (slab->fd >= 0)
        close(slab->fd);
    memset(slab, 0, sizeof *slab);
    slab->fd = -1;
}

/* Opens a slab given by its path; it may have any name. If false, there is nothing to close. */
static inline bool rondo_open(struct rondo_slab *slab, const char *path, uint64_t limit)
{
    memset(slab, 0, sizeof *slab);
    slab->fd = -1;
    if (rondo_map(slab, path, limit) && rondo_check_header(slab) && rondo_refresh(slab))
        return true;
    const char *rule = slab->rule, *why = slab->why;
    rondo_close(slab);
    return rondo_reject(slab, rule, why);
}

/* Zero while the thing measured is there, otherwise the slab time at which it went away */
static inline uint64_t rondo_ended(const struct rondo_slab *slab, const struct rondo_series *series)
{
    return rondo_load(slab->bytes + series->record_offset + 24);
}

/* Life and time */

enum rondo_life { RONDO_ALIVE, RONDO_CLOSED, RONDO_DEAD };

static inline enum rondo_life rondo_life_of(const struct rondo_slab *slab)
{
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    if (!slab->other_boot && !fcntl(slab->fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK)
        return RONDO_ALIVE;
    return rondo_load(slab->bytes + slab->section[RONDO_LIVE].offset + 152) ? RONDO_CLOSED : RONDO_DEAD;
}

static inline uint64_t rondo_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What holds for all series read at one time */
struct rondo_view {
    uint64_t start_ns, end_ns; /* the window; both 0 if the cursor is */
    uint64_t cursor_ns, ticked_ns;
    uint64_t complete_ns; /* intervals that end later are partial */
    int64_t clock_offset_ns;
    enum rondo_life life;
};

/*
 * Call it before reading slots, never after: a slot read while the writer lived, or before it
 * ticked, must not pass for the final one. For the same reason the life comes first.
 */
static inline struct rondo_view rondo_look(const struct rondo_slab *slab)
{
    const unsigned char *live = slab->bytes + slab->section[RONDO_LIVE].offset;
    uint64_t interval = slab->interval_ns, wall = 0;
    struct rondo_view view;
    memset(&view, 0, sizeof view);
    view.life = rondo_life_of(slab);
    uint64_t monotonic = rondo_clock(CLOCK_MONOTONIC), slab_now = monotonic + slab->anchor_ns;
    if (slab->this_boot && !slab->simulated)
        wall = rondo_clock(CLOCK_REALTIME) - slab_now;
    view.clock_offset_ns = (int64_t)wall;
    view.clock_offset_ns += (int64_t)interval / 2 * (view.clock_offset_ns < 0 ? -1 : 1);
    view.clock_offset_ns -= view.clock_offset_ns % (int64_t)interval;

    view.ticked_ns = rondo_load_acquire(live + 8);
    view.cursor_ns = rondo_load_acquire(live);
    if (view.cursor_ns > RONDO_INSTANTS)
        view.cursor_ns = RONDO_INSTANTS;
    view.cursor_ns -= view.cursor_ns % interval;
    if (view.cursor_ns) {
        uint64_t last = view.cursor_ns / interval, back = slab->slot_count - 1;
        view.start_ns = (back < last ? last - back : 1) * interval;
        view.end_ns = view.cursor_ns + interval;
    }
    view.complete_ns = view.life != RONDO_ALIVE ? UINT64_MAX
                     : slab->simulated ? view.cursor_ns : slab_now - 10000000;
    return view;
}

static inline bool rondo_is_partial(const struct rondo_slab *slab, const struct rondo_view *view, uint64_t t)
{
    return t + slab->interval_ns > view->complete_ns;
}

/* Slots */

enum rondo_state { RONDO_ABSENT, RONDO_PRESENT, RONDO_TORN };

struct rondo_sample {
    uint64_t t; /* start of its interval */
    bool torn, filled, partial;
    uint64_t counter, count; /* which of these have a meaning follows from the series' kind, */
    double gauge, sum, min, max, last; /* and for min, max and last from not being filled */
};

/*
 * The two loops of section 11.3, but for whatever interval the slot holds. The caller compares: that
 * way one loop serves those who look for an interval and those who look for the newest one.
 */
static inline enum rondo_state rondo_read_point(const unsigned char *slot, struct rondo_sample *sample)
{
    for (int i = 0; i < RONDO_ATTEMPTS; i++) {
        sample->t = rondo_load_acquire(slot);
        if (sample->t == RONDO_BUSY)
            continue;
        sample->counter = rondo_load(slot + 8);
        rondo_fence();
        if (rondo_load(slot) != sample->t)
            continue;
        sample->gauge = rondo_f64(sample->counter);
        return RONDO_PRESENT;
    }
    return RONDO_TORN;
}

static inline enum rondo_state rondo_read_distribution(const unsigned char *slot, struct rondo_sample *sample)
{
    for (int i = 0; i < RONDO_ATTEMPTS; i++) {
        uint64_t sequence = rondo_load_acquire(slot);
        if (sequence % 2)
            continue;
        sample->t = rondo_load(slot + 8);
        sample->count = rondo_load(slot + 16);
        sample->sum = rondo_f64(rondo_load(slot + 24));
        sample->min = rondo_f64(rondo_load(slot + 32));
        sample->max = rondo_f64(rondo_load(slot + 40));
        sample->last = rondo_f64(rondo_load(slot + 48));
        rondo_fence();
        if (rondo_load(slot) == sequence)
            return RONDO_PRESENT;
    }
    return RONDO_TORN;
}

/* Reads a slot by its index. A stamp that cannot be one of this slot counts as none. */
static inline enum rondo_state rondo_read_slot(const struct rondo_slab *slab, const struct rondo_series *series,
                                               uint64_t index, struct rondo_sample *sample)
{
    const unsigned char *slot = slab->bytes + series->column_offset + index * series->slot_size;
    memset(sample, 0, sizeof *sample);
    if ((rondo_is_point(series) ? rondo_read_point : rondo_read_distribution)(slot, sample) == RONDO_TORN) {
        memset(sample, 0, sizeof *sample);
        sample->torn = true;
        return RONDO_TORN;
    }
    if (sample->t && sample->t <= RONDO_INSTANTS && sample->t % slab->interval_ns == 0
        && sample->t / slab->interval_ns % slab->slot_count == index)
        return RONDO_PRESENT;
    sample->t = 0;
    return RONDO_ABSENT;
}

/* Reads the slot of an interval. If absent, sample->t says what it holds instead (0 for nothing). */
static inline enum rondo_state rondo_read(const struct rondo_slab *slab, const struct rondo_series *series,
                                          uint64_t t, struct rondo_sample *sample)
{
    enum rondo_state state = rondo_read_slot(slab, series, t / slab->interval_ns % slab->slot_count, sample);
    return state == RONDO_PRESENT && sample->t != t ? RONDO_ABSENT : state;
}

/* The newest present slot that starts before `before`, whatever its lap */
static inline bool rondo_newest(const struct rondo_slab *slab, const struct rondo_series *series,
                                uint64_t before, struct rondo_sample *newest)
{
    struct rondo_sample sample;
    memset(newest, 0, sizeof *newest);
    for (uint64_t i = 0; i < slab->slot_count; i++)
        if (rondo_read_slot(slab, series, i, &sample) == RONDO_PRESENT && sample.t < before
            && sample.t > newest->t)
            *newest = sample;
    return newest->t != 0;
}

/* Stamp of the newest present slot; the cursor if one is torn, as that may have been newer. */
static inline uint64_t rondo_newest_possible(const struct rondo_slab *slab, const struct rondo_series *series,
                                             uint64_t cursor_ns)
{
    struct rondo_sample sample;
    uint64_t newest = 0;
    for (uint64_t i = 0; i < slab->slot_count; i++) {
        enum rondo_state found = rondo_read_slot(slab, series, i, &sample);
        uint64_t t = found == RONDO_TORN ? cursor_ns : found == RONDO_PRESENT ? sample.t : 0;
        newest = t > newest ? t : newest;
    }
    return newest;
}

/* The latest value, from the cell if the series is shared. False if there is none. */
static inline bool rondo_latest(const struct rondo_slab *slab, const struct rondo_series *series,
                                const struct rondo_view *view, struct rondo_sample *latest)
{
    if (!rondo_is_shared(series)) {
        if (!rondo_newest(slab, series, UINT64_MAX, latest))
            return false;
    } else {
        memset(latest, 0, sizeof *latest);
        latest->t = view->cursor_ns;
        latest->counter = rondo_load(slab->bytes + series->cell_offset);
        latest->gauge = rondo_f64(latest->counter);
        if (!latest->t || (series->kind == RONDO_GAUGE && latest->counter == RONDO_SENTINEL))
            return false;
    }
    latest->partial = rondo_is_partial(slab, view, latest->t);
    return true;
}

/* A walk over the window: whatever is known, filled or torn, in order of time */
struct rondo_range {
    const struct rondo_slab *slab;
    const struct rondo_series *series;
    const struct rondo_view *view;
    uint64_t next, ended_ns;
    struct rondo_sample before; /* what to fill from: zeros if there was nothing */
    bool known;                 /* whether it is, and has not been overwritten */
};

static inline struct rondo_range rondo_walk(const struct rondo_slab *slab, const struct rondo_series *series,
                                             const struct rondo_view *view)
{
    struct rondo_range range;
    range.slab = slab;
    range.series = series;
    range.view = view;
    range.next = view->start_ns;
    range.ended_ns = rondo_ended(slab, series);
    rondo_newest(slab, series, view->start_ns, &range.before);
    /* Later, so that its reach holds for what is before */
    uint64_t newest = rondo_newest_possible(slab, series, view->cursor_ns);
    /* In whole intervals, where no product or sum can overflow */
    int64_t reach = (int64_t)(newest / slab->interval_ns) - slab->slot_count;
    int64_t before = (int64_t)(range.before.t / slab->interval_ns);
    int64_t registered = (int64_t)(series->registered_ns / slab->interval_ns);
    range.known = range.before.t && before >= reach;
    if (!range.known) {
        /* Of a distribution that was registered within reach, that none is means no sample yet. */
        memset(&range.before, 0, sizeof range.before);
        range.known = !rondo_is_point(series) && registered > reach;
    }
    return range;
}

/* Section 11.4: whether an absent slot says something of its interval */
static inline bool rondo_is_filled(const struct rondo_range *range, uint64_t t)
{
    uint64_t interval = range->slab->interval_ns, n = t / interval;
    return range->known && range->series->kind != RONDO_GAUGE && n >= range->series->registered_ns / interval
           && t <= range->view->ticked_ns && (!range->ended_ns || n <= range->ended_ns / interval);
}

static inline bool rondo_next(struct rondo_range *range, struct rondo_sample *sample)
{
    while (range->next < range->view->end_ns) {
        uint64_t t = range->next;
        range->next += range->slab->interval_ns;
        enum rondo_state state = rondo_read(range->slab, range->series, t, sample);
        if (state == RONDO_PRESENT) {
            range->before = *sample;
            range->known = true;
        } else if (state == RONDO_ABSENT) {
            range->known &= sample->t <= t; /* otherwise overwritten meanwhile, and what it said is lost */
            if (!rondo_is_filled(range, t))
                continue;
            *sample = range->before;
            sample->filled = true;
        }
        sample->t = t;
        sample->partial = rondo_is_partial(range->slab, range->view, t);
        return true;
    }
    return false;
}

/* Histograms */

/* Where a bucket starts; it ends where the next one does. */
static inline uint64_t rondo_bucket_start(uint32_t precision, uint64_t index)
{
    if (index >> precision < 2)
        return index;
    uint64_t width = UINT64_C(1) << precision; /* of a block: so many buckets between powers of two */
    return (index % width + width) << (index / width - 1);
}

/*
 * Copies the bucket_count buckets. True if they are those of newest->count, a slot that was read
 * before: buckets only grow, so that they are if they add up to it. Otherwise each is right by itself.
 */
static inline bool rondo_read_buckets(const struct rondo_slab *slab, const struct rondo_series *series,
                                      struct rondo_sample *newest, uint64_t *counts)
{
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        rondo_newest(slab, series, UINT64_MAX, newest);
        sum = 0;
        for (uint32_t j = 0; j < series->bucket_count; j++)
            sum += counts[j] = rondo_load(slab->bytes + series->buckets_offset + j * UINT64_C(8));
        if (sum == newest->count)
            return true;
    }
    return false;
}

#undef RONDO_RULE
#endif
