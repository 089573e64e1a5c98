/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim [-v] [-j jobs] [-m bug] first count: runs that many seeds. Each job is a process, so that an assertion of the
 * product, too, fails one seed and not the whole run. Every 50th seed is run twice and must take the same
 * steps. The last line is `sim: N passed, N failed`.
 *
 * With -c the checkers are held against runs that were falsified (broken.h). With -m a bug is planted (server/tree/mutant.h), and the run ends at the first seed that shows it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "server/tree/mutant.h"
#include "tests/sim/broken.h"
#include "tests/sim/registers.h"
#include "tests/sim/world.h"

enum { JOBS_MAX = 16, TWICE_EVERY = 50 };

#ifdef ZAB_MUTANTS
enum zab_mutant zab_mutant;

#define NAME(mutant) [MUTANT_##mutant] = #mutant
static const char *const mutants[MUTANT_COUNT] = {
    [MUTANT_NONE] = "", NAME(E1),  NAME(E2),  NAME(E3), NAME(E5),  NAME(E6),   NAME(S1),
    NAME(S2),           NAME(S3),  NAME(S4),  NAME(S5), NAME(S6),  NAME(S8),   NAME(S10),
    NAME(S11),          NAME(S12), NAME(S13), NAME(L6), NAME(W1),  NAME(W2),   NAME(W3),
    NAME(W4),           NAME(W5),  NAME(W6),  NAME(W8), NAME(W11), NAME(SYNC),
};

static bool plant(const char *name)
{
    for (int m = 1; m < MUTANT_COUNT; m++) {
        if (strcmp(mutants[m], name) == 0) {
            zab_mutant = (enum zab_mutant)m;
            return true;
        }
    }
    return false;
}
#else
static bool plant(const char *name)
{
    fprintf(stderr, "sim: this build has no bug %s: make sim-mutants\n", name);
    return false;
}
#endif

/* One job's progress, in memory that outlives it. */
struct progress {
    uint64_t seed; /* at work */
    bool is_done;
    int64_t passed;
    int64_t failed;
    struct run_result sum; /* served_us: the longest */
};

struct run {
    uint64_t first;
    uint64_t count;
    uint64_t jobs;
    bool is_verbose;
    const char *mutant;        /* NULL: none, as it should be */
    struct progress *progress; /* one a job, shared with it */
};

static void add_result(struct run_result *sum, const struct run_result *r)
{
    sum->events += r->events;
    sum->txns += r->txns;
    sum->answers += r->answers;
    sum->undecided += r->undecided;
    for (int i = 0; i < FAULT_KINDS; i++) {
        sum->faults[i] += r->faults[i];
    }
    for (int i = 0; i < SIGHTS; i++) {
        sum->sights[i] += r->sights[i];
    }
    sum->served_us = r->served_us > sum->served_us ? r->served_us : sum->served_us;
}

static void run_seed(const struct run *run, uint64_t seed, struct progress *p)
{
    struct run_result result;
    world_run(seed, run->is_verbose, &result);
    if (seed % TWICE_EVERY == 0) {
        struct run_result again;
        world_run(seed, false, &again);
        if (again.trace != result.trace || again.events != result.events) {
            printf("seed %" PRIu64 ": two runs took different steps\n", seed);
            exit(SIM_FAILED);
        }
    }
    if (run->count == 1) {
        printf("seed %" PRIu64 ": trace %016" PRIx64 ", %" PRIu64 " events\n", seed, result.trace,
               result.events);
    }
    add_result(&p->sum, &result);
    p->passed++;
}

/* The job's seeds from its current one on. */
static void work(const struct run *run, struct progress *p)
{
    for (; p->seed < run->first + run->count; p->seed += run->jobs) {
        run_seed(run, p->seed, p);
    }
    p->is_done = true;
    exit(0);
}

static pid_t start_job(const struct run *run, uint64_t job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        work(run, &run->progress[job]);
    }
    return pid;
}

static void report_failure(uint64_t seed)
{
    const char *commit = getenv("SIM_COMMIT");
    printf("FAILED: seed %" PRIu64 " at commit %s; again: make sim SEEDS=1 FIRST=%" PRIu64 " V=1\n",
           seed, commit ? commit : "unknown", seed);
}

/* A job that ended early leaves the seed that ended it. */
static void wait_for_jobs(const struct run *run, pid_t *pids)
{
    uint64_t running = run->jobs;
    while (running > 0) {
        int status;
        pid_t pid = wait(&status);
        for (uint64_t job = 0; job < run->jobs; job++) {
            struct progress *p = &run->progress[job];
            if (pids[job] != pid) {
                continue;
            }
            running--;
            if (!p->is_done && run->mutant) {
                p->failed++; /* found: this job is done */
            } else if (!p->is_done) {
                p->failed++;
                report_failure(p->seed);
                p->seed += run->jobs;
                pids[job] = start_job(run, job);
                running++;
            }
        }
    }
}

/* Something that never happens in that many runs is not tested any more. */
enum { SEEDS_TO_SEE_ALL = 1000, SEEDS_TO_SEE_RARE = 100000 };

/* About one register in 2,000 is. */
enum { SEEDS_TO_JUDGE = 200, UNDECIDED_ONE_IN_MIN = 100 };

static void report_count(struct progress *sum, const char *name, int64_t count, bool is_rare)
{
    int64_t enough = is_rare ? SEEDS_TO_SEE_RARE : SEEDS_TO_SEE_ALL;
    printf(" %s %" PRId64, name, count);
    if (count == 0 && sum->passed >= enough) {
        printf(" (NEVER)");
        sum->failed++;
    }
}

/* A checker that gives up too often checks nothing. */
static void report_undecided(struct progress *p)
{
    int64_t count = p->passed * REGISTERS;
    printf("\n%" PRId64 " of %" PRId64 " registers undecided", p->sum.undecided, count);
    if (p->passed >= SEEDS_TO_JUDGE && p->sum.undecided * UNDECIDED_ONE_IN_MIN > count) {
        printf(" (TOO MANY)");
        p->failed++;
    }
}

static void report(struct progress *p)
{
    const struct run_result *sum = &p->sum;
    printf("%" PRIu64 " events, %" PRId64 " txns, %" PRId64
           " answers; all users served %.3f s after "
           "the healing at the latest\nfaults:",
           sum->events, sum->txns, sum->answers, (double)sum->served_us / 1e6);
    for (int i = 0; i < FAULT_KINDS; i++) {
        report_count(p, fault_name((enum fault_kind)i), sum->faults[i], false);
    }
    printf("\nseen:");
    for (int i = 0; i < SIGHTS; i++) {
        report_count(p, sight_name((enum sight)i), sum->sights[i], i == SEEN_NOT_TRUNC);
    }
    report_undecided(p);
    printf("\nsim: %" PRId64 " passed, %" PRId64 " failed\n", p->passed, p->failed);
}

static void usage(void)
{
    fprintf(stderr, "usage: sim -c | [-v] [-j jobs] [-m bug] first count\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct run run = { .jobs = 2 };
    pid_t pids[JOBS_MAX];
    int opt;
    log_set_level(LOG_ERROR);
    while ((opt = getopt(argc, argv, "cvj:m:")) != -1) {
        if (opt == 'c') {
            return !broken_check_all();
        } else if (opt == 'v') {
            run.is_verbose = true;
        } else if (opt == 'j') {
            run.jobs = strtoull(optarg, NULL, 10);
        } else if (opt == 'm' && plant(optarg)) {
            run.mutant = optarg;
        } else {
            usage();
        }
    }
    if (argc - optind != 2 || run.jobs < 1 || run.jobs > JOBS_MAX) {
        usage();
    }
    run.first = strtoull(argv[optind], NULL, 10);
    run.count = strtoull(argv[optind + 1], NULL, 10);
    size_t size = run.jobs * sizeof(struct progress);
    run.progress = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run.progress == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    for (uint64_t job = 0; job < run.jobs; job++) {
        run.progress[job].seed = run.first + job;
        pids[job] = start_job(&run, job);
    }
    wait_for_jobs(&run, pids);
    struct progress sum = { 0 };
    for (uint64_t job = 0; job < run.jobs; job++) {
        const struct progress *p = &run.progress[job];
        sum.passed += p->passed;
        sum.failed += p->failed;
        add_result(&sum.sum, &p->sum);
    }
    if (run.mutant) {
        printf("bug %s: %s after %" PRId64 " seeds\n", run.mutant,
               sum.failed ? "found" : "NOT FOUND", sum.passed + sum.failed);
        return sum.failed == 0;
    }
    report(&sum);
    return sum.failed > 0 || sum.passed == 0;
}
